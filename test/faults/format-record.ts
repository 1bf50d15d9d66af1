import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Control } from './campaign.ts';
import { type RecordAttack, recordAttacks } from './record-attacks.ts';
import { type Judged, judgeAttack } from './record-judge.ts';
import { Scene } from './record-scene.ts';
import type { Sample } from './sample.ts';
import { wrongWay } from './wrong-saves.ts';

/** The outcome for vaults whose vault.json was attacked. */
export interface RecordCases extends Judged {
  readonly cases: number;
}

/** The short form tries one attack in this many. */
const INTERVAL = 10;

/** The states in which a vault is attacked. */
const STATES = [
  { what: 'at rest', isRotating: false, isKnown: true },
  { what: 'whose rotation was interrupted', isRotating: true, isKnown: true },
  { what: 'at rest that is not known yet', isRotating: false, isKnown: false },
] as const;

/** Runs every attack on each field of vault.json. */
export async function attackRecords(folder: string, sample: Sample): Promise<RecordCases> {
  const found = { cases: 0, lost: 0, accepted: 0, failures: [] as string[] };
  for (const { what, isRotating, isKnown } of STATES) {
    const scene = await Scene.make(join(folder, `records-${isRotating}-${isKnown}`), isRotating);
    for (const attack of sample.of(recordAttacks(scene), INTERVAL)) {
      const judged = await judgeAttack(scene, attack, isKnown);
      found.cases++;
      found.lost += judged.lost;
      found.accepted += judged.accepted;
      found.failures.push(...judged.failures.map((failure) => `a vault ${what}: ${failure}`));
    }
  }
  return found;
}

/** Runs the controls that believe vault.json, each under the attacks meant for it. */
export async function recordControls(folder: string): Promise<Control[]> {
  return Promise.all([
    control(folder, 'vault.json believed without its MAC', 'mac-unchecked', 'slots changed'),
    control(folder, 'a key replaced without a certificate', 'certificate-unchecked', 'a reseal is ordered'),
  ]);
}

async function control(folder: string, name: string, way: string, only: string): Promise<Control> {
  const script = join(import.meta.dirname, 'format-record-process.ts');
  const env = { ...process.env, ...wrongWay(way) };
  const { stdout } = await promisify(execFile)(process.execPath, [script, join(folder, way), only], { env });
  return { name, ...(JSON.parse(stdout) as Omit<Control, 'name'>) };
}

/**
 * Runs the attacks whose names begin with `only` in a separate process, and counts those that
 * succeeded.
 */
export async function tryOnly(folder: string, only: string): Promise<Omit<Control, 'name'>> {
  const scene = await Scene.make(folder, false);
  const isMeant = ({ what }: RecordAttack): boolean => what.startsWith(only);
  let [caught, cases] = [0, 0];
  for (const attack of recordAttacks(scene).filter(isMeant)) {
    const { lost, accepted } = await judgeAttack(scene, attack);
    cases++;
    if (lost + accepted > 0) caught++;
  }
  return { caught, cases };
}
