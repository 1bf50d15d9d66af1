import { existsSync, readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { keepCopy } from '../../src/files/keep.ts';
import type { Asked } from './driven.ts';

/*
 * The kinds of saves that are attacked at every system call: the vault before it, the requests that
 * bring a process right before the save, and the save. Add an entry to `saves` for a new kind.
 */

/** One kind of save. */
export interface Save {
  readonly name: string;
  /**
   * False if the key comes from a credential file, which is faster; else a real keychain holds it.
   */
  readonly isKeyed?: false;
  /**
   * Requests that make, once, the vault that every case gets a copy of; empty if there is no vault
   * yet.
   */
  readonly before: readonly Asked[];
  /**
   * Damages that vault as an earlier crash would. Returns the steps that are no longer expected.
   */
  readonly damage?: (directory: string) => readonly string[];
  /** Requests that the process under attack carries out first, undisturbed. */
  readonly ready: readonly Asked[];
  /** The save. */
  readonly attacked: readonly Asked[];
  /** The next save of the same process, if it lives on after an error. */
  readonly next: readonly Asked[];
  /** Paths whose calls could change something, if the other calls only look at many files. */
  readonly about?: RegExp;
  /**
   * Checks for more that must be unchanged, and returns what is not; `original` is the vault
   * before.
   */
  readonly also?: (directory: string, original: string) => string[];
}

/** Size above which a session is appended to, and written through the pool. */
const LARGE = 300_000;
/** Size above which a session is folded in slices. */
const HUGE = 2_000_000;
const POOLED = 100_000;

const begin: readonly Asked[] = [{ do: 'open' }, { do: 'begin' }];
const resume: readonly Asked[] = [{ do: 'open' }, { do: 'resume', text: '_autosave' }];
const small: readonly Asked[] = [...begin, step('one'), { do: 'close' }];
const large: readonly Asked[] = [...begin, step('one', LARGE), { do: 'close' }];
const huge: readonly Asked[] = [...begin, step('one', HUGE), { do: 'close' }];
/** Enough sessions for the list to be cached. */
const many: readonly Asked[] = [
  { do: 'open' },
  ...Array.from({ length: 36 }, (_, at) => [
    { do: 'begin' } as const,
    step(`one${at}`),
    { do: 'close' } as const,
  ]).flat(),
];

/** Every kind of save. */
export const saves: readonly Save[] = [
  {
    name: 'first save',
    before: [],
    ready: [],
    attacked: [...begin, step('two')],
    next: [step('three')],
  },
  {
    name: 'first save, by the broker',
    before: [],
    ready: [{ do: 'broker' }],
    attacked: [...begin, step('two')],
    next: [step('three')],
  },
  { name: 'overwrite', before: small, ready: resume, attacked: [step('two')], next: [step('three')] },
  {
    name: 'append',
    before: large,
    ready: [...resume, step('two')],
    attacked: [step('three', POOLED)],
    next: [step('four')],
  },
  {
    name: 'fold',
    before: large,
    ready: [...resume, step('two')],
    attacked: [{ do: 'close' }],
    next: [{ do: 'resume', text: '_autosave' }, step('three')],
  },
  {
    name: "a new session's link",
    before: small,
    ready: begin,
    attacked: [step('two')],
    next: [step('three')],
  },
  {
    name: 'snapshot',
    before: small,
    ready: resume,
    attacked: [{ do: 'snapshot', text: 'kept' }],
    next: [{ do: 'snapshot', text: 'kept' }],
  },
  {
    name: 'torn-tail repair',
    before: [...large, ...resume, step('torn')],
    damage: tearLastFrame,
    ready: resume,
    attacked: [step('two')],
    next: [step('three')],
    also: isTornKept,
  },
  {
    name: 'final save',
    before: small,
    ready: [...resume, step('two')],
    attacked: [{ do: 'finalSave' }],
    next: [{ do: 'finalSave' }],
  },
  {
    name: 'fold, overtaken',
    before: huge,
    ready: [...resume, step('two')],
    attacked: [{ do: 'overtake' }],
    next: [{ do: 'resume', text: '_autosave' }, step('three')],
  },
  {
    name: 'both caches',
    isKeyed: false,
    before: many,
    ready: [{ do: 'open' }],
    attacked: [{ do: 'search', text: 'nowhere' }],
    about: /\/\.?(index|texts)\b/,
    next: [{ do: 'search', text: 'nowhere' }],
  },
  {
    name: 'recovery-slot write',
    before: [...small, { do: 'addSlot' }],
    ready: [{ do: 'open' }],
    attacked: [{ do: 'addSlot' }],
    next: [{ do: 'addSlot' }],
    also: areSlotsKept,
  },
  {
    name: 'key rotation',
    before: [...begin, step('one'), { do: 'snapshot', text: 'kept' }, { do: 'close' }],
    damage: quarantineOne,
    ready: [{ do: 'open' }],
    attacked: [{ do: 'rotate' }],
    next: [{ do: 'rotate' }],
  },
];

/** Returns a step of two messages, which must both be stored or neither. */
function step(text: string, size?: number): Asked {
  return { do: 'step', text, reply: true, ...(size === undefined ? {} : { size }) };
}

/** Cuts the last bytes off the file that was appended to last. */
function tearLastFrame(directory: string): readonly string[] {
  const path = largestFile(directory);
  truncateSync(path, statSync(path).size - 100);
  return ['torn'];
}

/** Puts a file into quarantine, which a rotation has to reseal with the new key as well. */
function quarantineOne(directory: string): readonly string[] {
  keepCopy(largestFile(directory), join(directory, 'quarantine'), 'kept', 'put there by a test');
  return [];
}

/** The previous slots must remain, whatever became of the new one. */
function areSlotsKept(directory: string, original: string): string[] {
  const [slots = [], before = []] = [directory, original].map(slotsIn);
  const gone = before.filter((slot) => !slots.includes(slot));
  if (gone.length > 0 || slots.length > before.length + 1) return [`${before.length} slots became ${slots.length}`];
  return [];
}

function slotsIn(directory: string): string[] {
  const { slots } = JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')) as { slots: unknown[] };
  return slots.map((slot) => JSON.stringify(slot));
}

/** The original file must still be in its place, or in quarantine with a note. */
function isTornKept(directory: string, original: string): string[] {
  const torn = readFileSync(largestFile(original));
  if (readFileSync(largestFile(directory)).equals(torn)) return [];
  const quarantine = join(directory, 'quarantine');
  if (!existsSync(quarantine)) return ['there is no quarantine'];
  const kept = readdirSync(quarantine).filter((name) => !name.endsWith('.txt'));
  // A process killed between a copy and its note leaves the copy alone; the next repair keeps
  // another.
  const isNoted = (name: string): boolean =>
    (statSync(join(quarantine, `${name}.txt`), { throwIfNoEntry: false })?.size ?? 0) > 0;
  const isKept = kept.some((name) => readFileSync(join(quarantine, name)).equals(torn) && isNoted(name));
  return isKept ? [] : ['the torn file is not in quarantine with a note'];
}

function largestFile(directory: string): string {
  const sessions = join(directory, 'sessions');
  const paths = readdirSync(sessions)
    .filter((name) => /^[0-9a-f]{32}$/.test(name))
    .map((name) => join(sessions, name));
  return paths.toSorted((a, b) => statSync(b).size - statSync(a).size)[0]!;
}
