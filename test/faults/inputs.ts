import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type CofferError, isCofferError } from '../../src/errors.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import { faultInType } from '../../src/session/event/check.ts';
import { type Event, MergedEvents, type NewEvent } from '../../src/session/event/event.ts';
import { readLines } from '../../src/session/event/lines.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import type { Campaign, Control, Figures } from './campaign.ts';
import { Chance } from './chance.ts';
import { meddle, valueFor } from './inputs-values.ts';
import type { Sample } from './sample.ts';

/*
 * Random inputs for everything a program can pass in: what is accepted must be read back as it was
 * accepted, and what is refused must leave no trace. The caller also changes values after passing
 * them.
 */

/** Number of inputs, in the whole form and in the short one. */
const INPUTS = [200_000, 4_000] as const;
const CONTROL_INPUTS = [4_000, 1_000] as const;
/** Number of inputs after which a session is read back, and another one begun. */
const ROUND = 100;

/** A store that accepts events, and returns them. */
interface Recorder {
  append(event: unknown): Promise<void>;
  /** Returns what it claims to have recorded. */
  recorded(): readonly Event[];
  /** Returns what another process would read. */
  read(): Promise<readonly Event[]>;
  /** Returns whether it reports that something is not saved. */
  isUnsaved(): boolean;
}

/** Random inputs for the public API. */
export const campaign: Campaign = { name: 'inputs', needs: [], limits: { short: 120, whole: 1800 }, run };

async function run(folder: string, tell: (line: string) => void, sample: Sample): Promise<Figures> {
  const chance = new Chance(sample.seed);
  tell(`seed ${chance.seed}`);
  const place = { directory: join(folder, 'vault'), config: join(folder, 'config') };
  await using sessions = await openVault({ ...place, keyring: new MemoryKeyring(), env: {} });
  const tally = new Tally();
  for (let done = 0; done < sample.pick(...INPUTS); done += ROUND) {
    tell(`${done} inputs`);
    const session = sessions.begin({ directory: '/', model: 'demo/echo' });
    await tryAppends(new Real(sessions, session), chance, ROUND - OTHERS, tally);
    await tryOthers(sessions, session, chance, tally);
    await session.close();
    await sessions.delete(await sessions.find(session.uuid));
  }
  const controls: Control[] = [];
  for (const [name, make] of Object.entries(wrong)) {
    tell(name);
    const seen = new Tally();
    for (let done = 0; done < sample.pick(...CONTROL_INPUTS); done += ROUND)
      await tryAppends(make(), chance, ROUND, seen);
    controls.push({ name, caught: seen.failures.length, cases: seen.cases });
  }
  return {
    cases: tally.cases,
    lost: tally.lost,
    controls,
    notes: [`seed ${chance.seed}`, `accepted ${tally.accepted}`, `refused ${tally.refused}`],
    failures: tally.failures.map((line) => `${line} (seed ${chance.seed})`),
  };
}

class Tally {
  cases = 0;
  accepted = 0;
  refused = 0;
  lost = 0;
  readonly failures: string[] = [];
}

/** Appends values one by one, changes some of them afterwards, and reads everything back. */
async function tryAppends(recorder: Recorder, chance: Chance, count: number, tally: Tally): Promise<void> {
  for (let index = 0; index < count; index++) {
    tally.cases++;
    const value = valueFor(chance);
    const before = recorder.recorded().length;
    try {
      await recorder.append(value);
      tally.accepted++;
    } catch (error) {
      tally.refused++;
      if (!(error instanceof TypeError)) tally.failures.push(`append throws ${String(error)}`);
      if (recorder.recorded().length !== before) tally.failures.push(`a refused event is recorded: ${String(error)}`);
    }
    if (recorder.isUnsaved()) tally.failures.push('something is not saved');
    if (chance.percent(30)) meddle(value, chance);
  }
  try {
    const read = await recorder.read();
    const recorded = recorder.recorded();
    if (read.some(({ type }) => type === 'unknown')) tally.failures.push('an accepted event is unreadable');
    else if (isDeepStrictEqual(read, recorded)) return;
    else tally.failures.push('the events read differ from those accepted');
    tally.lost += Math.max(1, recorded.length - read.length);
  } catch (error) {
    tally.failures.push(`accepted events are unreadable: ${String(error)}`);
  }
}

/** Number of inputs of a round that go to other functions than append. */
const OTHERS = 10;

/** Passes values to every other function that takes some. */
async function tryOthers(sessions: Sessions, session: Session, chance: Chance, tally: Tally): Promise<void> {
  const before = [...session.events];
  for (let index = 0; index < OTHERS; index++) {
    tally.cases++;
    const value = valueFor(chance);
    const [name, call] = chance.of(Object.entries(others)) ?? ['', async () => undefined];
    try {
      await call(sessions, session, value as never);
    } catch (error) {
      if (!(error instanceof TypeError) && !isDocumented(error)) tally.failures.push(`${name} throws ${String(error)}`);
    }
  }
  const changed = !isDeepStrictEqual(before, session.events.slice(0, before.length));
  if (changed) tally.failures.push('recorded events have changed');
  await session.append({ type: 'pin', pinned: true }); // replace a draft
  const { events } = await sessions.read(await sessions.find(session.uuid));
  if (!isDeepStrictEqual(events, session.events)) tally.failures.push('the events read differ from those recorded');
}

const others: Readonly<Record<string, (sessions: Sessions, session: Session, value: never) => Promise<unknown>>> = {
  begin: async (sessions, _, value) => sessions.begin(value),
  'begin with a model': async (sessions, _, model) => sessions.begin({ directory: '/', model }),
  draft: async (_, session, value) => {
    session.draft = value;
    await session.saveDraft();
    session.draft = undefined;
  },
  rewrite: (_, session, value) => session.rewrite([...session.events, value]),
  find: (sessions, _, which) => sessions.find(which),
  import: (sessions, _, text) => sessions.upkeep.import(text, 'x'),
};

function isDocumented(error: unknown): error is CofferError {
  return isCofferError(error, 'SESSION_NOT_FOUND', 'SESSION_AMBIGUOUS', 'NAME_INVALID', 'IMPORT_INVALID');
}

class Real implements Recorder {
  readonly #sessions: Sessions;
  readonly #session: Session;

  constructor(sessions: Sessions, session: Session) {
    this.#sessions = sessions;
    this.#session = session;
  }

  append(event: unknown): Promise<void> {
    return this.#session.append(event as NewEvent);
  }

  recorded(): readonly Event[] {
    return this.#session.events;
  }

  async read(): Promise<readonly Event[]> {
    return (await this.#sessions.read(await this.#sessions.find(this.#session.uuid))).events;
  }

  isUnsaved(): boolean {
    return this.#session.unsaved !== undefined;
  }
}

/**
 * Records what `accept` lets through, as JSON in memory: this tests coffer's reading of events, not
 * its files.
 */
class Wrong implements Recorder {
  readonly #accept: (value: unknown) => object;
  readonly #events: Event[] = [];
  readonly #lines: string[] = [];

  constructor(accept: (value: unknown) => object) {
    this.#accept = accept;
  }

  async append(value: unknown): Promise<void> {
    const event = { id: this.#events.length + 1, ts: 1, ...this.#accept(value) } as Event;
    this.#lines.push(JSON.stringify(event));
    this.#events.push(event);
  }

  recorded(): readonly Event[] {
    return this.#events;
  }

  async read(): Promise<readonly Event[]> {
    const merged = new MergedEvents();
    merged.add(readLines(Buffer.from(this.#lines.join('\n'))));
    return merged.events;
  }

  isUnsaved(): boolean {
    return false;
  }
}

/** Wrong recorders, each of which lets something through. */
const wrong: Readonly<Record<string, () => Recorder>> = {
  'events taken as they come': () => new Wrong((value) => value as object),
  'events checked and not copied': () =>
    new Wrong((value) => {
      const { id: _, ts: __, ...event } = value as Record<string, unknown>;
      if (faultInType(event) !== undefined) throw new TypeError('it is no event');
      return event;
    }),
};
