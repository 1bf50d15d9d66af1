import { join } from 'node:path';
import type { Campaign, Control, Figures } from './campaign.ts';
import { attack, pointsOf, type Target } from './crash-points-attack.ts';
import type { Sample } from './sample.ts';
import type { Point } from './strace.ts';
import { type Save, saves } from './strace-kinds.ts';
import type { Breach } from './strace-look.ts';
import { Prepared } from './strace-saves.ts';
import { shareOut, type Worker, withWorkers } from './strace-workers.ts';
import { wrongWay } from './wrong-saves.ts';

/**
 * Kills a process at the entry of every system call of one save of each kind. Fresh processes check
 * what is left.
 */
export const campaign: Campaign = {
  name: 'every crash point',
  needs: ['root', 'strace', 'gnome-keyring-daemon', 'dbus-daemon', 'secret-tool'],
  limits: { short: 180, whole: 1800 },
  run: (folder, tell, sample) => withWorkers(folder, (workers) => attackAll(workers, folder, tell, sample)),
};

/** Maximum number of times a control is tried until it is caught. */
const ROUNDS = 3;

/** The short form attacks one call in this many. */
const INTERVAL = 30;
/**
 * Calls of a control attacked per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 6;

/** The wrong ways, each with the kind of save that it replaces. */
const CONTROLS: readonly { readonly name: string; readonly way: string; readonly of: string }[] = [
  { name: 'overwriting in place', way: 'in-place', of: 'overwrite' },
  { name: 'get-then-set key creation, vault.json in place', way: 'key-in-place', of: 'first save' },
];

/** One row of the attack: a kind of save or a control, and the totals of its cases. */
interface Row extends Target {
  readonly name: string;
  readonly isControl: boolean;
  points: readonly Point[];
  cases: number;
  caught: number;
}

interface Sums {
  readonly breaches: Map<Breach, number>;
  readonly failures: string[];
  orphans: number;
  unreached: number;
}

async function attackAll(
  workers: readonly Worker[],
  folder: string,
  tell: (line: string) => void,
  sample: Sample,
): Promise<Figures> {
  const rows = await rowsIn(workers, folder, tell);
  const sums: Sums = { breaches: new Map(), failures: [], orphans: 0, unreached: 0 };
  const attackEach = async (name: string, cases: readonly Case[]): Promise<void> => {
    tell(`${name}: ${cases.length} calls`);
    await shareOut(workers, cases, ({ row, point }, worker) => attackPoint(row, point, worker, sums), tell);
  };
  const kinds = rows.filter(({ isControl }) => !isControl);
  await attackEach('all kinds of saves', [...sample.of(kinds.flatMap(casesOf), INTERVAL, ({ row }) => row.name)]);
  for (const row of kinds) {
    // If the sample has only one call of a kind, it may not have been made again.
    for (const batch of sample.batches(casesOf(row), 2)) if (row.cases === 0) await attackEach(row.name, batch);
  }
  for (const row of rows.filter(({ isControl }) => isControl)) {
    // Calls are counted by thread, and a thread does not make exactly the same ones each time, so
    // the fault of a control may be missed.
    for (let round = 0; round < ROUNDS && row.caught === 0; round++) {
      for (const batch of sample.batches(casesOf(row), BATCH, isOnRecord)) {
        if (row.caught === 0) await attackEach(row.name, batch);
      }
    }
  }
  return figuresOf(rows, sums);
}

/** One kill. */
interface Case {
  readonly row: Row;
  readonly point: Point;
}

/** Returns whether a call is about vault.json, which one of the controls writes in place. */
function isOnRecord({ point }: Case): boolean {
  return point.what.includes('vault.json');
}

function casesOf(row: Row): Case[] {
  return row.points.map((point) => ({ row, point }));
}

/** Makes the vault needed before each kind of save, and finds the calls that it makes. */
async function rowsIn(workers: readonly Worker[], folder: string, tell: (line: string) => void): Promise<Row[]> {
  const byKind: Row[][] = [];
  await shareOut(
    workers,
    [...saves.entries()],
    async ([index, save], worker) => {
      tell(`the calls of ${save.name}`);
      byKind[index] = await rowsOf(save, join(folder, `save-${index}`), worker);
    },
    tell,
  );
  return byKind.flat();
}

/** Returns a kind of save, and the controls that replace it. */
async function rowsOf(save: Save, folder: string, worker: Worker): Promise<Row[]> {
  const prepared = await Prepared.make(save, folder, worker.placeOf(save));
  const row = { prepared, cases: 0, caught: 0 };
  const rows: Row[] = [{ ...row, name: save.name, isControl: false, wrong: {}, points: [] }];
  for (const { name, way, of } of CONTROLS) {
    if (of === save.name) rows.push({ ...row, name, isControl: true, wrong: wrongWay(way), points: [] });
  }
  for (const row of rows) {
    const points = await pointsOf(row, worker.placeOf(save));
    // For a control with many calls, those on the vault are enough.
    const isShort = !row.isControl || points.length < 40;
    row.points = isShort ? points : points.filter(({ what }) => what.includes(folder));
  }
  return rows;
}

async function attackPoint(row: Row, point: Point, worker: Worker, sums: Sums): Promise<void> {
  const { isReached, broken, orphans } = await attack(row, point, worker.placeOf(row.prepared.save));
  if (!isReached) {
    sums.unreached++;
    return;
  }
  row.cases++;
  if (row.isControl) {
    if (broken.length > 0) row.caught++;
    return;
  }
  sums.orphans += orphans;
  for (const { breach, what } of broken) {
    sums.breaches.set(breach, (sums.breaches.get(breach) ?? 0) + 1);
    const at = `${point.role} at ${point.name} ${point.nth} (${point.what})`;
    sums.failures.push(`${row.name}, killed in ${at}: ${breach}: ${what}`);
  }
}

function figuresOf(rows: readonly Row[], { breaches, failures, orphans, unreached }: Sums): Figures {
  const kinds = rows.filter(({ isControl }) => !isControl);
  const blank = kinds.filter(({ cases }) => cases === 0).map(({ name }) => `${name}: no call was killed at`);
  const controls: Control[] = rows
    .filter(({ isControl }) => isControl)
    .map(({ name, caught, cases }) => ({ name, caught, cases }));
  const count = (breach: Breach): number => breaches.get(breach) ?? 0;
  const notes = [
    kinds.map(({ name, cases }) => `${name} ${cases}`).join(', '),
    `unreadable files ${count('unreadable')}`,
    `halves of steps ${count('half a step')}`,
    `stray temps ${count('stray temp')}`,
    `second keys ${count('second key')}`,
    `keychain items without a vault ${orphans}`,
    `calls not made again ${unreached}`,
  ];
  return {
    cases: kinds.reduce((sum, { cases }) => sum + cases, 0),
    lost: count('lost'),
    controls,
    notes,
    failures: [...blank, ...failures],
  };
}
