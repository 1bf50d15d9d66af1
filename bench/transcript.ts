import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NewEvent } from '../src/session/event/event.ts';
import { LANGUAGES } from './words.ts';

const MODEL = 'demo/echo';
/** Approximate number of bytes that an event's id and time add to its line. */
const PLACE = 35;
const root = join(import.meta.dirname, '..');

/**
 * The kinds of text and their shares of a turn: models read and write more files than people write
 * words.
 */
const KINDS = [
  { share: 0.45, make: prose },
  { share: 0.3, make: code },
  { share: 0.25, make: output },
] as const;

/**
 * Made-up conversations about programs, generated from a seed: the same seed yields the same events
 * on every machine. Questions and answers in several languages, code, and the output of tools;
 * `zstd -3` shrinks them as it does genuine transcripts, 3.0 to 4.0 times, which the bench prints.
 */
export class Transcript {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /**
   * Returns a turn: a question, a tool call and its result, the answer, and the usage; about
   * `bytes` of text in all.
   */
  turn(bytes: number): NewEvent[] {
    const id = `call_${this.#hex(12)}`;
    const question = Math.min(400, Math.floor(bytes / 6));
    const result = Math.floor((bytes - question) / 2);
    const answer = bytes - question - result;
    const usage = { inputTokens: 500 + this.#below(4000), outputTokens: 40 + this.#below(900), cost: null };
    const input = { path: this.#path(), offset: this.#below(400) };
    const call = { toolCallId: id, toolName: 'read_file' };
    return [
      { type: 'message', message: { role: 'user', content: prose(this, question) } },
      {
        type: 'message',
        model: MODEL,
        message: { role: 'assistant', content: [{ type: 'tool-call', ...call, input }] },
      },
      {
        type: 'message',
        message: {
          role: 'tool',
          content: [{ type: 'tool-result', ...call, output: { type: 'text', value: this.#text(result) } }],
        },
      },
      { type: 'message', model: MODEL, message: { role: 'assistant', content: this.#text(answer) } },
      { type: 'usage', model: MODEL, usage },
    ];
  }

  /** Returns an integer from 0 to below `limit`. */
  below(limit: number): number {
    return this.#below(limit);
  }

  /** Returns a random item. */
  pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }

  /** Returns `length` hex digits. */
  hex(length: number): string {
    return this.#hex(length);
  }

  #text(length: number): string {
    let at = this.#below(1000) / 1000;
    const kind = KINDS.find(({ share }) => {
      at -= share;
      return at < 0;
    });
    return (kind?.make ?? prose)(this, length);
  }

  #path(): string {
    return this.pick(SOURCES).path;
  }

  #hex(length: number): string {
    let text = '';
    while (text.length < length) text += this.#next().toString(16).padStart(8, '0');
    return text.slice(0, length);
  }

  #below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  /** Marsaglia's xorshift with a Weyl sequence: random enough for text. */
  #next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }
}

/**
 * Returns turns until their plaintext (the lines that are sealed) has `bytes`. `each` is the text
 * of a turn, in bytes. Default: 4096.
 */
export function eventsOf(transcript: Transcript, bytes: number, each = 4096): NewEvent[] {
  const events: NewEvent[] = [];
  for (let length = 0; length < bytes; ) {
    for (const event of transcript.turn(Math.min(each, bytes - length))) {
      events.push(event);
      length += Buffer.byteLength(JSON.stringify(event)) + PLACE;
    }
  }
  return events;
}

/** Returns paragraphs of random words in one language. */
function prose(of: Transcript, length: number): string {
  const words = of.below(2) === 0 ? (LANGUAGES[0] ?? []) : of.pick(LANGUAGES);
  let text = '';
  let sentence = 0;
  while (text.length < length) {
    const word = words[Math.floor(words.length * (of.below(1000) / 1000) ** 2)] ?? '';
    sentence = sentence > 6 + of.below(14) ? 0 : sentence + 1;
    text += sentence === 0 ? `${word}.${of.below(5) === 0 ? '\n\n' : ' '}` : `${word} `;
  }
  return text.slice(0, length);
}

/** Returns pieces of this repository's own sources, with some names changed. */
function code(of: Transcript, length: number): string {
  let text = '';
  while (text.length < length) {
    const { lines } = of.pick(SOURCES);
    const start = of.below(Math.max(1, lines.length - 12));
    for (const line of lines.slice(start, start + 4 + of.below(24))) {
      text += of.below(3) === 0 ? `${line.replace(/\b[a-z]{4,}\b/, `value${of.hex(8)}`)}\n` : `${line}\n`;
    }
  }
  return text.slice(0, length);
}

/** Returns lines such as programs print. */
function output(of: Transcript, length: number): string {
  const make = of.pick(OUTPUTS);
  let text = '';
  while (text.length < length) text += `${make(of)}\n`;
  return text.slice(0, length);
}

const OUTPUTS: readonly ((of: Transcript) => string)[] = [
  (of) =>
    `2026-${10 + of.below(3)}-${10 + of.below(18)}T${10 + of.below(14)}:${10 + of.below(50)}:${10 + of.below(50)}.${of.below(1000)}Z ${of.pick(['INFO', 'WARN', 'DEBUG'])} [worker-${of.below(9)}] request ${of.hex(8)} took ${of.below(900)} ms, status ${of.pick([200, 200, 200, 404, 500])}`,
  (of) =>
    `-rw-r--r-- 1 dev dev ${String(of.below(99999)).padStart(6)} Nov ${1 + of.below(28)} ${of.pick(SOURCES).path}`,
  (of) => `${of.pick(SOURCES).path}:${1 + of.below(300)}:${of.below(80)}: ${of.pick(of.pick(SOURCES).lines)}`,
  (of) =>
    ` ${of.pick(['✓', '✓', '✓', '✗'])} ${of.pick(SOURCES).path} > ${prose(of, 30).replace(/\s+/g, ' ')} ${of.below(400)}ms`,
  (of) => `{"id":"${of.hex(16)}","size":${of.below(100000)},"path":"${of.pick(SOURCES).path}","ok":${of.below(9) > 0}}`,
];

const SOURCES: readonly { path: string; lines: readonly string[] }[] = [
  'src/vault/vault.ts',
  'src/vault/marks/seen.ts',
  'src/session/sessions.ts',
  'src/session/event/event.ts',
  'src/envelope/format.ts',
  'src/files/replace/replace.ts',
  'src/terminal/repl.ts',
  'native-fallback/dbus-wire.ts',
  'docs/read_vault.py',
  'package.json',
].map((path) => ({ path, lines: readFileSync(join(root, path), 'utf8').split('\n') }));
