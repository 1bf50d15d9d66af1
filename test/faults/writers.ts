import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Campaign, Control, Figures } from './campaign.ts';
import { Chance } from './chance.ts';
import { check, Driver } from './driven.ts';
import type { Sample } from './sample.ts';
import { Attack } from './writers-attack.ts';
import { type Hold, overlapsIn } from './writers-holds.ts';

/** Seconds that processes write, in the whole form and in the short one. */
const SECONDS = [60, 12] as const;
const CONTROL_SECONDS = [10, 4] as const;
const CONTROL_TIMES = [3, 8] as const;
/** Minimum number of times sessions are taken. */
const HOLDS = [0, 30] as const;

/** Two writers of one session: six processes over one vault, killed and stopped at random. */
export const campaign: Campaign = {
  name: 'two writers',
  needs: [],
  limits: { short: 120, whole: 480 },
  async run(folder, tell, sample) {
    const chance = new Chance(sample.seed);
    const seconds = sample.pick(...SECONDS);
    tell(`seed ${chance.seed}, ${seconds} seconds`);
    const env = makeVault(folder);
    const attack = new Attack(async () => {
      const driver = await Driver.start(env);
      const opened = await driver.ask({ do: 'open' });
      if (!opened?.ok) throw new Error(`the vault does not open: ${opened?.error?.message}`);
      return driver;
    }, chance);
    await attack.run(seconds, sample.pick(...HOLDS));
    const overlaps = overlapsIn(attack.holds);
    tell('looking for everything that was acknowledged');
    const { lost, failures } = await verify(env, attack);
    const controls = [
      await control('an O_EXCL file with the pid', 'pid', folder, chance, tell, sample),
      await control('an O_EXCL file that ages', 'age', folder, chance, tell, sample),
    ];
    return {
      cases: attack.holds.length,
      lost,
      controls,
      notes: notesOf(attack, overlaps.length),
      failures: [...overlaps, ...attack.failures, ...failures].map((line) => `${line} (seed ${chance.seed})`),
    };
  },
};

/** Makes a vault whose key comes from a file, as keychains are not under test here. */
function makeVault(folder: string): Record<string, string> {
  const credentials = join(folder, 'credentials');
  mkdirSync(credentials, { mode: 0o700 });
  writeFileSync(join(credentials, 'coffer-key'), Buffer.alloc(32, 'k'), { mode: 0o600 });
  return { COFFER_DATA_DIR: join(folder, 'data'), COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: credentials };
}

/** Checks in a fresh process for everything that was acknowledged, and for leftovers. */
async function verify(env: Record<string, string>, attack: Attack): Promise<Pick<Figures, 'lost' | 'failures'>> {
  const failures: string[] = [];
  let lost = 0;
  const found = await check(env);
  if (found.error) failures.push(`the vault does not open: ${found.error.message}`);
  for (const file of found.files) {
    if (file.error ?? file.torn) failures.push(`${file.fileId} can't be read: ${file.error ?? file.torn}`);
    if (new Set(file.texts).size < file.texts.length) failures.push(`${file.fileId} has a step twice`);
  }
  const expect = (saved: readonly string[], texts: readonly string[] | undefined, what: string): void => {
    const gone = saved.length - inOrder(saved, texts ?? []);
    lost += gone;
    if (gone > 0) failures.push(`${what}: ${gone} of ${saved.length} acknowledged steps are gone or out of order`);
  };
  for (const [fileId, saved] of attack.saved)
    expect(saved, found.files.find((file) => file.fileId === fileId)?.texts, `session ${fileId}`);
  for (const [id, saved] of attack.snapshots) {
    const snapshot = found.files.find((file) => file.kind === 'snapshot' && file.label === id);
    expect(saved, snapshot?.texts, `snapshot ${id}`);
  }
  return { lost, failures: [...failures, ...(await leftovers(env))] };
}

/** Counts how many of `wanted` are in `texts`, each after the one before. */
function inOrder(wanted: readonly string[], texts: readonly string[]): number {
  let at = -1;
  return wanted.filter((text) => {
    const next = texts.indexOf(text, at + 1);
    if (next !== -1) at = next;
    return next !== -1;
  }).length;
}

/**
 * Begins a conversation, which must clean up after the dead processes: their locks and their
 * unfinished saves.
 */
async function leftovers(env: Record<string, string>): Promise<string[]> {
  await using driver = await Driver.start(env);
  await driver.ask({ do: 'open' });
  await driver.ask({ do: 'begin' });
  await driver.ask({ do: 'step', text: 'next' });
  await driver.ask({ do: 'close' });
  const directory = env['COFFER_DATA_DIR'] ?? '';
  const locks = readdirSync(join(directory, 'locks')).filter((name) => name !== 'vault');
  const temps = readdirSync(join(directory, 'sessions')).filter((name) => name.endsWith('.tmp'));
  return [...locks, ...temps].map((name) => `${name} is left behind`);
}

function notesOf(attack: Attack, overlaps: number): string[] {
  const steps = [...attack.saved.values()].reduce((sum, texts) => sum + texts.length, 0);
  return [
    `overlaps ${overlaps}`,
    `refused takeovers ${attack.refusedTakeovers} of ${attack.takeovers}`,
    `kill -9 ${attack.kills}`,
    `stops ${attack.stops}`,
    `refusals naming the holder ${attack.refusals}`,
    `steps acknowledged ${steps}`,
    `snapshots ${attack.snapshots.size}`,
  ];
}

/** Runs the same attack on sessions with another lock: it must find two holders at once. */
async function control(
  name: string,
  lock: 'pid' | 'age',
  folder: string,
  chance: Chance,
  tell: (line: string) => void,
  sample: Sample,
): Promise<Control> {
  const directory = join(folder, lock);
  mkdirSync(directory);
  const env = { WRONG_DIR: directory, WRONG_LOCK: lock };
  const holds: Hold[] = [];
  // On a busy machine little happens in that many seconds, so it gets more of them.
  const seconds = sample.pick(...CONTROL_SECONDS);
  for (let time = 0; time < sample.pick(...CONTROL_TIMES) && overlapsIn(holds).length === 0; time++) {
    tell(`${name}: ${seconds} seconds`);
    const attack = new Attack(() => Driver.start(env, { script: 'wrong-lock.ts' }), chance);
    await attack.run(seconds, sample.pick(...HOLDS));
    holds.push(...attack.holds);
  }
  return { name, caught: overlapsIn(holds).length, cases: holds.length };
}
