import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { eventsOf, Transcript } from '../../bench/transcript.ts';
import { firstLink } from '../../src/envelope/chain.ts';
import { encodeHeader, type Segment } from '../../src/envelope/format.ts';
import { sealFrame } from '../../src/envelope/seal.ts';
import { packSegment } from '../../src/envelope/segment.ts';
import { type Event, encodeEvents } from '../../src/session/event/event.ts';
import { encodeSummary, summarize } from '../../src/session/list/summary.ts';
import { emptyState, fold } from '../../src/session/state.ts';
import { Seen } from '../../src/vault/marks/seen.ts';
import { emptyVault } from '../support/vast.ts';

const UUID = '5ca1ab1e-0000-4000-8000-000000000001';
const SEGMENT = 1024 * 1024;
/**
 * From here on the words repeat: then they cost no more than their numbers, both on disk and in the
 * time to make them.
 */
const VARIETY = 512 * 1024;

/** The session that was made. */
export interface Huge {
  readonly fileId: string;
  readonly events: number;
  /** Of plaintext. */
  readonly bytes: number;
}

/**
 * Makes a vault with one session of `bytes` of plaintext, in one frame, as if it had been closed a
 * moment ago: segment by segment, so that it takes little memory. Nothing is flushed. The last
 * message says `the end of it`.
 */
export async function fillHuge(where: Parameters<typeof emptyVault>[0], bytes: number): Promise<Huge> {
  const { unlocked, place } = await emptyVault(where);
  const words = eventsOf(new Transcript(1), VARIETY);
  let last = 0;
  let length = 0;
  let state = emptyState;
  const segments: Segment[] = [];
  const seal = (events: readonly Event[]): void => {
    const lines = encodeEvents(events);
    segments.push(packSegment(lines));
    length += lines.length;
  };
  const next = (event: object): Event => ({ id: ++last, ts: Date.UTC(2026, 0, 1) + last, ...event }) as Event;
  let waiting = [next({ type: 'begin', uuid: UUID, directory: '/work/huge', branch: 'main' })];
  waiting.push(next({ type: 'model', model: 'demo/echo' }));
  state = fold(state, waiting);
  const perSegment = Math.ceil(words.length / (VARIETY / SEGMENT));
  for (let at = 0; length < bytes; at++) {
    waiting.push(next(words[at % words.length]!));
    if (waiting.length < perSegment) continue;
    seal(waiting);
    waiting = [];
  }
  const ending = [
    next({ type: 'message', message: { role: 'user', content: 'the end of it' } }),
    next({ type: 'status', status: 'completed' }),
  ];
  seal([...waiting, ...ending]);
  // The counts in the summary cover only the first and last events; nothing here reads them.
  state = fold(state, ending);
  const summary = encodeSummary(
    summarize(state, { kind: 'session', id: '2026-01-01_00-00', uuid: UUID, name: undefined }),
  );
  const fileId = randomBytes(16).toString('hex');
  const header = encodeHeader({ kind: 'session', keyId: unlocked.key.id, fileId, generation: 1n });
  const { bytes: frame, next: chain } = sealFrame(unlocked.key, firstLink(header), { summary, segments });
  writeFileSync(place.path(fileId), Buffer.concat([header, frame]), { mode: 0o600 });
  new Seen(place).record(unlocked, new Map([[fileId, { generation: 1n, frames: 1, link: chain.link }]]));
  return { fileId, events: last, bytes: length };
}

// As a program: arguments are a directory and the number of bytes; the key comes from the
// environment. Prints what it made.
if (import.meta.main) {
  const [directory = '', bytes = ''] = process.argv.slice(2);
  console.log(JSON.stringify(await fillHuge({ directory, env: process.env }, Number(bytes))));
}
