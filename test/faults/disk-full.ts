import { mkdirSync, rmSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DEVICE_NEEDS, mountRam, Undo } from './block-device.ts';
import type { Campaign, Control, Figures } from './campaign.ts';
import { fillWithCaches } from './disk-full-caches.ts';
import { SmallDisk, SYSTEMS, type System } from './disk-full-disk.ts';
import { type Kind, kinds, type Refusal, type Scene } from './disk-full-saves.ts';
import { History, type Verdict } from './power-cut-history.ts';
import { environment, type Key, makeCredentials, vaultOn } from './power-cut-home.ts';
import { Eye } from './power-cut-lane.ts';
import { wrongWay } from './wrong-saves.ts';

/** Free space when a save is requested, in KiB. */
const FREE = [0, 4, 8, 16, 40, 100, 250, 600, 1_500];
/** Number of disks that are filled at the same time. */
const LANES = 2;
/**
 * The short form tries one case in this many of each kind of save. Must not be a multiple of the
 * length of {@link FREE}.
 */
const INTERVAL = 23;
/**
 * Cases of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 8;

/**
 * The disk is full when a save is requested: existing data must stay, and the caller must get an
 * error.
 */
export const campaign: Campaign = {
  name: 'disk full',
  needs: [...DEVICE_NEEDS, 'mkfs.xfs', 'fallocate'],
  limits: { short: 180, whole: 1800 },
  run: async (folder, tell, sample) => {
    await using undo = new Undo();
    const ram = await mountRam(join(folder, 'ram'), undo);
    const key = makeCredentials(join(ram, 'credentials'));
    const fillings = kinds.flatMap((kind) => SYSTEMS.flatMap((system) => fillingsOf(system, kind)));
    const chosen = [...sample.of(fillings, INTERVAL, ({ kind }) => kind.name)];
    const cases = await inLanes(ram, key, jobsOf(chosen), {}, tell);
    const controls: Control[] = [];
    const overwrites = fillings.filter(({ kind }) => kind.name === 'overwrite');
    for (const [name, env] of WRONG) {
      let [tried, caught] = [0, 0];
      for (const batch of sample.batches(overwrites, BATCH, isShort)) {
        if (caught > 0) break;
        tell(name);
        const attacked = await inLanes(ram, key, jobsOf(batch), env, tell);
        tried += attacked.length;
        caught += attacked.filter(({ lost }) => lost > 0).length;
      }
      controls.push({ name, cases: tried, caught });
    }
    const figures = figuresOf(cases, controls);
    const caches = await fillWithCaches(ram, key, tell, sample);
    return {
      ...figures,
      cases: figures.cases + caches.cases,
      controls: [...controls, caches.control],
      notes: [...figures.notes, `caches not written for want of room ${caches.unwritten}`],
      failures: [...figures.failures, ...caches.failures],
    };
  },
};

const WRONG: readonly (readonly [string, NodeJS.ProcessEnv])[] = [
  ['write-file-atomic', wrongWay('atomic-package')],
  ['writing in place', wrongWay('in-place')],
];

/** A save of one kind and size on one kind of disk, with that much room. */
interface Filling {
  readonly system: System;
  readonly kind: Kind;
  readonly size: Kind['sizes'][number];
  /** In KiB. */
  readonly free: number;
}

/**
 * Returns whether there is room for only part of the file: wrong ways of saving take a short write
 * for a whole one.
 */
function isShort({ size: [before, added], free }: Filling): boolean {
  return free > 0 && free * 1024 < before + added;
}

/** All cases of one kind on one kind of disk, which share the disk. */
type Job = readonly [Filling, ...Filling[]];

function fillingsOf(system: System, kind: Kind): Filling[] {
  return kind.sizes.flatMap((size) => FREE.map((free) => ({ system, kind, size, free })));
}

function jobsOf(fillings: readonly Filling[]): Job[] {
  const jobs = Map.groupBy(fillings, ({ kind, system }) => `${kind.name} on ${system}`);
  return [...jobs.values()] as unknown as Job[];
}

interface Case extends Verdict {
  readonly refused: boolean;
}

async function inLanes(
  folder: string,
  key: Key,
  jobs: readonly Job[],
  env: NodeJS.ProcessEnv,
  tell: (line: string) => void,
): Promise<Case[]> {
  const waiting = [...jobs];
  const cases: Case[] = [];
  const lane = async (): Promise<void> => {
    await using eye = new Eye();
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const [{ kind, system }] = job;
      tell(`${kind.name} on ${system}`);
      const found = await attack(folder, key, job, env, eye);
      cases.push(...found);
      const faults = found.flatMap((one) => one.faults).length;
      tell(`${kind.name} on ${system}: ${found.length} cases, ${faults} faults`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return cases;
}

let disks = 0;

/** Runs every case of a job on a separate disk. */
async function attack(folder: string, key: Key, job: Job, env: NodeJS.ProcessEnv, eye: Eye): Promise<Case[]> {
  const [{ system, kind }] = job;
  await using undo = new Undo();
  const disk = await SmallDisk.make(join(folder, `disk-${++disks}`), system, undo);
  const cases: Case[] = [];
  for (const [[before, added], fillings] of Map.groupBy(job, ({ size }) => size)) {
    const room = fillings.map(({ free }) => free);
    for (const free of kind.anew ? room.map((one) => [one]) : [room]) {
      const person = join(disk.root, 'person');
      mkdirSync(join(vaultOn(person), '..'), { recursive: true, mode: 0o700 });
      {
        await using processes = new AsyncDisposableStack();
        let now = 0;
        const history = new History(() => ++now);
        const scene: Scene = { env: { ...environment(key, person), ...env }, history, processes };
        const what = `${kind.name} of ${added} bytes to ${before} on ${system}`;
        cases.push(...(await fill(disk, { scene, kind, before, added, free, person, key, eye, what })));
      }
      rmSync(person, { recursive: true });
    }
  }
  return cases;
}

interface Scenery {
  readonly scene: Scene;
  readonly kind: Kind;
  readonly before: number;
  readonly added: number;
  readonly free: readonly number[];
  readonly person: string;
  readonly key: Key;
  readonly eye: Eye;
  readonly what: string;
}

/**
 * Repeats the same save with less and more room, and checks the vault each time, while the disk is
 * full and after.
 */
async function fill(disk: SmallDisk, scenery: Scenery): Promise<Case[]> {
  const { scene, kind, before, added, person, key, eye, what } = scenery;
  const ready = await kind.ready(scene, before, added);
  const cases: Case[] = [];
  for (const free of scenery.free) {
    await ready.prepare?.();
    disk.fill(free * 1024);
    const refusal = await ready.save(`with-${free}`);
    const verdict: Verdict = { lost: 0, accepted: 0, faults: wrongIn(refusal) };
    // Before its first save there is no vault to check, and checking would make one.
    const isThere = scene.history.saves.some(({ acknowledged }) => acknowledged !== Number.POSITIVE_INFINITY);
    if (isThere) await add(verdict, scene.history, 'while the disk was full', eye, person, key);
    disk.empty();
    const second = await ready.save(`after-${free}`);
    if (second) verdict.faults.push(`with room again it was not saved: ${second.message}`);
    await add(verdict, scene.history, 'with room again', eye, person, key);
    if (kind.name === 'torn-tail repair') verdict.faults.push(...(await quarantineOf(person)));
    const faults = verdict.faults.map((fault) => `${what}, ${free} KiB free: ${fault}`);
    cases.push({ ...verdict, faults, refused: refusal !== undefined });
  }
  return cases;
}

/** A refusal must be one that the status line can show. */
function wrongIn(refusal: Refusal): string[] {
  if (!refusal || refusal.code === 'NOT_SAVED' || refusal.code === 'DURABILITY_UNKNOWN') return [];
  return [`was told as ${refusal.code ?? 'no error of coffer'}: ${refusal.message}`];
}

async function add(
  verdict: Verdict,
  history: History,
  when: string,
  eye: Eye,
  person: string,
  key: Key,
): Promise<void> {
  const { found } = await eye.look(person, key, false);
  const seen = history.judge(found, Number.MAX_SAFE_INTEGER);
  verdict.lost += seen.lost;
  verdict.accepted += seen.accepted;
  verdict.faults.push(...seen.faults.map((fault) => `${when}: ${fault}`));
  if (found.strays.length > 0) verdict.faults.push(`${when}: ${found.strays.join(' ')} is left behind`);
}

/** The torn file must be kept once, with a note that says why. */
async function quarantineOf(person: string): Promise<string[]> {
  const folder = join(vaultOn(person), 'quarantine');
  const names = (await readdir(folder)).sort();
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  const isGood = names.length === 2 && names[1] === `${names[0]}.txt` && !sizes.includes(0);
  return isGood ? [] : [`the quarantine holds ${names.map((name, index) => `${name} (${sizes[index]})`).join(', ')}`];
}

function figuresOf(cases: readonly Case[], controls: readonly Control[]): Figures {
  return {
    cases: cases.length,
    lost: cases.reduce((sum, { lost }) => sum + lost, 0),
    accepted: cases.reduce((sum, { accepted }) => sum + accepted, 0),
    controls,
    notes: [`saves refused for want of room ${cases.filter(({ refused }) => refused).length}`],
    failures: cases.flatMap(({ faults }) => faults),
  };
}
