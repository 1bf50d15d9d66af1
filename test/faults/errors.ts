import { join } from 'node:path';
import type { Campaign, Control, Figures } from './campaign.ts';
import { attack, type Call, callsOf, type Fault, faultsOf, type Target } from './errors-attack.ts';
import { attackCaches } from './errors-caches.ts';
import { isFlush } from './errors-possible.ts';
import type { Sample } from './sample.ts';
import { saves } from './strace-kinds.ts';
import type { Breach } from './strace-look.ts';
import { Prepared } from './strace-saves.ts';
import { shareOut, type Worker, withWorkers } from './strace-workers.ts';
import { wrongWay } from './wrong-saves.ts';

/**
 * Makes every system call of one save of each kind fail in every possible way: the process lives,
 * reports the error, and saves again. Does the same to the caches while they are written, read and
 * dropped.
 */
export const campaign: Campaign = {
  name: 'errors',
  needs: ['root', 'strace', 'prlimit', 'gnome-keyring-daemon', 'dbus-daemon', 'secret-tool'],
  limits: { short: 180, whole: 1800 },
  run: async (folder, tell, sample) => {
    const saves = await withWorkers(folder, (workers) => attackAll(workers, folder, tell, sample));
    const caches = await attackCaches(folder, tell, sample);
    return {
      cases: saves.cases + caches.cases,
      lost: saves.lost,
      controls: [...saves.controls, ...caches.controls],
      notes: [...saves.notes, ...caches.notes],
      failures: [...saves.failures, ...caches.failures],
    };
  },
};

/** The short form tries one error in this many. */
const INTERVAL = 16;
/**
 * Errors of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 6;

/** In this order: errors tried in earlier kinds are tried less often in later ones. */
const KINDS: readonly string[] = ['overwrite', 'append', 'fold', 'first save', "a new session's link", 'snapshot'];

/** The wrong ways, each with the kind of save that it replaces. */
const CONTROLS: readonly { readonly name: string; readonly way: string; readonly of: string }[] = [
  { name: 'flushes unchecked', way: 'unchecked', of: 'overwrite' },
  { name: 'overwriting in place', way: 'in-place', of: 'overwrite' },
  { name: 'write-file-atomic', way: 'atomic-package', of: 'overwrite' },
  { name: 'flushing again', way: 'flush-again', of: 'append' },
];

/** A kind of save or a control, and the totals of its cases. */
interface Row extends Target {
  readonly name: string;
  readonly isControl: boolean;
  faults: readonly Fault[];
  cases: number;
  reported: number;
  caught: number;
}

interface Sums {
  readonly breaches: Map<Breach, number>;
  readonly failures: string[];
  unreached: number;
}

async function attackAll(
  workers: readonly Worker[],
  folder: string,
  tell: (line: string) => void,
  sample: Sample,
): Promise<Figures> {
  const rows = await rowsIn(workers, folder, tell);
  const sums: Sums = { breaches: new Map(), failures: [], unreached: 0 };
  const attackEach = async (name: string, cases: readonly Case[]): Promise<void> => {
    tell(`${name}: ${cases.length} errors`);
    await shareOut(workers, cases, ({ row, fault }, worker) => attackOnce(row, fault, worker, sums), tell);
  };
  const kinds = rows.filter(({ isControl }) => !isControl);
  await attackEach('all kinds of saves', [...sample.of(kinds.flatMap(casesOf), INTERVAL, ({ row }) => row.name)]);
  for (const row of kinds) {
    // If the sample has only one call of a kind, it may not have been made again.
    for (const batch of sample.batches(casesOf(row), 2)) if (row.cases === 0) await attackEach(row.name, batch);
  }
  for (const row of rows.filter(({ isControl }) => isControl)) {
    for (const batch of sample.batches(casesOf(row), BATCH, isLikely)) {
      if (row.caught === 0) await attackEach(row.name, batch);
    }
  }
  return figuresOf(rows, sums);
}

/** One error. */
interface Case {
  readonly row: Row;
  readonly fault: Fault;
}

function casesOf(row: Row): Case[] {
  return row.faults.map((fault) => ({ row, fault }));
}

/**
 * Returns whether a fault is a failed flush or a short write: most wrong ways of saving overlook
 * one of them.
 */
function isLikely({ fault }: Case): boolean {
  return 'limit' in fault || isFlush(fault.point);
}

/** Makes the vault needed before each kind of save, and finds what can fail in it. */
async function rowsIn(workers: readonly Worker[], folder: string, tell: (line: string) => void): Promise<Row[]> {
  const byKind: (readonly (readonly [Row, readonly Call[]])[])[] = [];
  await shareOut(
    workers,
    [...KINDS.entries()],
    async ([index, name], worker) => {
      tell(`the calls of ${name}`);
      byKind[index] = await rowsOf(name, join(folder, `save-${index}`), worker);
    },
    tell,
  );
  const known = new Set<string>();
  return byKind.flat().map(([row, calls]) => {
    row.faults = faultsOf(calls, row.isControl ? new Set() : known);
    return row;
  });
}

/** Returns a kind of save and the controls that replace it, each with the calls that it makes. */
async function rowsOf(name: string, folder: string, worker: Worker): Promise<(readonly [Row, readonly Call[]])[]> {
  const kind = saves.find((one) => one.name === name)!;
  // Another campaign tests failures of the keychain. Here the key comes from a file, which is
  // faster.
  const save = { ...kind, isKeyed: false } as const;
  const place = worker.placeOf(save);
  const prepared = await Prepared.make(save, folder, place);
  const row = { prepared, faults: [], cases: 0, reported: 0, caught: 0 };
  const rows: Row[] = [{ ...row, name, isControl: false, wrong: {} }];
  for (const { way, of, ...control } of CONTROLS) {
    if (of === name) rows.push({ ...row, ...control, isControl: true, wrong: wrongWay(way) });
  }
  const called: (readonly [Row, readonly Call[]])[] = [];
  for (const one of rows) called.push([one, await callsOf(one, place)]);
  return called;
}

async function attackOnce(row: Row, fault: Fault, worker: Worker, sums: Sums): Promise<void> {
  const { isReached, isReported, broken } = await attack(row, fault, worker.placeOf(row.prepared.save));
  if (!isReached) {
    if ('point' in fault) sums.unreached++; // a limit above the size of the save has no effect
    return;
  }
  row.cases++;
  if (isReported) row.reported++;
  if (row.isControl) {
    if (broken.length > 0) row.caught++;
    return;
  }
  for (const { breach, what } of broken) {
    sums.breaches.set(breach, (sums.breaches.get(breach) ?? 0) + 1);
    sums.failures.push(`${row.name}, ${wordsFor(fault)}: ${breach}: ${what}`);
  }
}

function wordsFor(fault: Fault): string {
  if ('limit' in fault) return `files limited to ${fault.limit} bytes`;
  const { role, name, nth, what } = fault.point;
  return `${fault.error} in ${role} at ${name} ${nth} (${what})`;
}

function figuresOf(rows: readonly Row[], { breaches, failures, unreached }: Sums): Figures {
  const kinds = rows.filter(({ isControl }) => !isControl);
  const blank = kinds.filter(({ cases }) => cases === 0).map(({ name }) => `${name}: nothing could fail`);
  const controls: Control[] = rows
    .filter(({ isControl }) => isControl)
    .map(({ name, caught, cases }) => ({ name, caught, cases }));
  const count = (breach: Breach): number => breaches.get(breach) ?? 0;
  const reported = kinds.reduce((sum, row) => sum + row.reported, 0);
  const cases = kinds.reduce((sum, row) => sum + row.cases, 0);
  const notes = [
    kinds.map((row) => `${row.name} ${row.cases}`).join(', '),
    `told ${reported}, no harm done ${cases - reported}`,
    `badly told ${count('not told')}`,
    `unreadable files ${count('unreadable')}`,
    `saved to the same file after a failed flush ${count('same file')}`,
    `calls not made again ${unreached}`,
  ];
  return { cases, lost: count('lost'), controls, notes, failures: [...blank, ...failures] };
}
