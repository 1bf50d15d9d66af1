import { zstdDecompressSync } from 'node:zlib';
import type { Event } from '../../src/session/event/event.ts';
import type { Summary } from '../../src/session/list/summary.ts';
import { type Decoders, ownDecoders } from './fuzz-targets.ts';

/*
 * Decoders with a planted fault each, which open every seed as coffer's own do. The fuzzer has to
 * find each of them. The last three show that it notices memory, a hang and a crash at all.
 */

/** A decoder with a fault. */
export interface Wrong {
  readonly target: 'segment' | 'summary' | 'events';
  readonly decoders: Partial<Decoders>;
}

/** The decoders, by their fault. */
export const wrongDecoders: Readonly<Record<string, Wrong>> = {
  'a summary taken as it parses': {
    target: 'summary',
    decoders: { summary: (json) => JSON.parse(json.toString('utf8')) as Summary },
  },
  'the end of a zstd frame not looked for': {
    target: 'segment',
    decoders: {
      segment: (codec, stored, length) => (codec === 1 ? decompressed(stored, length) : own(codec, stored, length)),
    },
  },
  'a length believed': {
    target: 'segment',
    decoders: {
      segment: (codec, stored, length) => {
        const room = Buffer.allocUnsafeSlow(length);
        return room.subarray(0, own(codec, stored, length).copy(room));
      },
    },
  },
  'a loop that does not get on': { target: 'events', decoders: { events: withoutEnd } },
  'a process that dies': {
    target: 'events',
    decoders: {
      events: (lines) => {
        const events = ownDecoders.events(lines);
        if (events.some(({ type }) => type === '__proto__')) process.kill(process.pid, 'SIGSEGV');
        return events;
      },
    },
  },
};

function decompressed(stored: Buffer, length: number): Buffer {
  const lines = zstdDecompressSync(stored, { maxOutputLength: Math.max(1, length) });
  return lines.length === length ? lines : own(1, Buffer.alloc(0), length);
}

/** If the last line has no end, it starts again with the first. */
function withoutEnd(lines: Buffer): Event[] {
  const events: Event[] = [];
  for (let start = 0; start < lines.length; start = lines.indexOf(10, start) + 1) {
    const end = lines.indexOf(10, start);
    for (const event of ownDecoders.events(lines.subarray(start, end === -1 ? lines.length : end))) events[0] = event;
  }
  return events.length > 0 ? ownDecoders.events(lines) : [];
}

const own = ownDecoders.segment;
