import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Campaign, Control } from './campaign.ts';
import { check } from './driven.ts';
import { add, attack, Blame, begin, LATE, newTally, type Tally } from './keychain-states-attack.ts';
import { moments } from './keychain-states-moments.ts';
import { attackBelieving, records } from './keychain-states-record.ts';
import { lockBeforeSomebody } from './keychain-states-sitting.ts';
import { type State, states } from './keychain-states-table.ts';
import { type Program, World } from './keychain-states-world.ts';
import type { Sample } from './sample.ts';

/** Number of worlds attacked at a time, apart from those that wait for an unanswered prompt. */
const LANES = 2;

/** Number of times a state is tried again because the keychain was late. */
const TRIES = 4;

/** The short form tries one kind in this many of each state. */
const INTERVAL = 6;

/**
 * Every state of a keychain, and every moment it can arise, met by a list, an export, a chat and a
 * first use.
 */
export const campaign: Campaign = {
  name: 'the keychain',
  needs: ['gnome-keyring-daemon', 'dbus-daemon', 'dbus-monitor', 'secret-tool', 'strace'],
  limits: { short: 300, whole: 2400 },
  async run(_folder, tell, sample) {
    const tally = newTally();
    let again = 0;
    const pass = (name: string, work: (world: World, blame: Blame) => Promise<void>) => async (): Promise<void> => {
      tell(name);
      again += await inWorld(coffer, name, tally, work);
    };
    const standing: Kind[] = states.map((state) => ({
      name: state.name,
      pass: (world, blame) => attack(state, world, blame),
    }));
    const kinds = [...sample.of<Kind>([...standing, ...moments, ...records], INTERVAL, stateOf)];
    const waiting = kinds.filter(({ idle }) => idle).map((kind) => pass(kind.name, kind.pass));
    const busy = kinds.filter(({ idle }) => !idle).map((kind) => pass(kind.name, kind.pass));
    const tried = controls.map(() => ({ caught: 0, cases: 0 }));
    const believing: Control = { name: 'a key replaced without a certificate', caught: 0, cases: 0 };
    const believes = async (): Promise<void> => {
      tell(believing.name);
      const found = newTally();
      await inWorld(coffer, believing.name, found, attackBelieving);
      Object.assign(believing, { caught: found.lostSessions > 0 ? 1 : 0, cases: 1 });
    };
    const wrong = controls.flatMap((control, index) => tasksOf(control, tried[index]!, sample, tell));
    await Promise.all([...waiting.map((work) => work()), inLanes([...busy, ...wrong, believes])]);
    return {
      cases: tally.cases,
      lost: tally.lostSessions + tally.secondKeys,
      controls: [...controls.map(({ name }, index): Control => ({ name, ...tried[index]! })), believing],
      notes: [
        `${new Set(kinds.map(stateOf)).size} states in ${kinds.length} kinds`,
        `second keys ${tally.secondKeys}`,
        `keys seen by others ${tally.leaks}, in ${tally.started} programs that were started`,
        `programs on PATH called ${tally.trapped}`,
        `hung ${tally.hung}`,
        `unused items left by ${tally.kills} killed first uses ${tally.orphans}`,
        `worlds made again for a late keychain ${again}`,
      ],
      failures: tally.failures,
    };
  },
};

const coffer: Program = {
  command: [join('src', 'cli', 'main.ts')],
  opened: async (env) => {
    const { files, error } = await check(env);
    return { texts: files.flatMap(({ texts }) => texts), error: error?.code };
  },
};

type Work = (world: World, blame: Blame) => Promise<void>;

/** A kind of a state. */
interface Kind {
  /** The name of the state, with that of the kind after a colon. */
  readonly name: string;
  /** Set if it mostly waits. */
  readonly idle?: true;
  readonly pass: Work;
}

function stateOf({ name }: { readonly name: string }): string {
  return name.split(':')[0]!;
}

/** A wrong program, the attacks on it, and the evidence of its fault. */
interface WrongWay {
  readonly name: string;
  readonly way: 'another-key' | 'on-path' | 'in-a-file' | 'in-arguments';
  readonly attacks: readonly Work[];
  isCaught(tally: Tally): boolean;
}

const controls: readonly WrongWay[] = [
  {
    name: 'get, null, set another key',
    way: 'another-key',
    attacks: [
      'locked collection',
      'locked item',
      'no bus',
      'stale bus address: no such socket',
      'no service',
      'no default collection: nor any other',
      'item deleted',
      'item corrupt: words',
      'item empty',
      'provider changed: another Secret Service answers',
    ].map(through),
    isCaught: ({ lostSessions, secondKeys }) => lostSessions + secondKeys > 0,
  },
  {
    name: 'asking for the key in its own process',
    way: 'another-key',
    attacks: [
      async (world, blame) => {
        await begin(world, blame);
        using _prompter = await lockBeforeSomebody(world);
        await blame.run(() => world.run(['sessions'], { patience: 15_000 }));
      },
    ],
    isCaught: ({ hung }) => hung > 0,
  },
  {
    name: 'a key from a program on PATH',
    way: 'on-path',
    attacks: ['fake security on PATH', 'locked collection'].map(through),
    isCaught: ({ trapped }) => trapped > 0,
  },
  {
    name: 'a key in an argument',
    way: 'in-arguments',
    attacks: ['fake security on PATH'].map(through),
    isCaught: ({ leaks }) => leaks > 0,
  },
  {
    name: 'a key in a temporary file',
    way: 'in-a-file',
    attacks: ['fake security on PATH'].map(through),
    isCaught: ({ leaks }) => leaks > 0,
  },
];

function through(name: string): Work {
  const state = states.find((one): one is State => one.name === name);
  if (state === undefined) throw new TypeError(`there is no state ${name}`);
  return (world, blame) => attack(state, world, blame);
}

/**
 * Returns one task for each attack on a control; in the short form a single one, which ends when
 * the control is caught.
 */
function tasksOf(
  control: WrongWay,
  tried: { caught: number; cases: number },
  sample: Sample,
  tell: (line: string) => void,
): (() => Promise<void>)[] {
  const once = (work: Work) => async (): Promise<void> => {
    tell(control.name);
    await tryControl(control, work, tried);
  };
  const untilCaught = async (): Promise<void> => {
    for (const [work] of sample.batches(control.attacks, 1)) if (work && tried.caught === 0) await once(work)();
  };
  return sample.pick(control.attacks.map(once), [untilCaught]);
}

async function tryControl(control: WrongWay, work: Work, tried: { caught: number; cases: number }): Promise<void> {
  const tally = newTally();
  const script = join('test', 'faults', 'wrong-keychain.ts');
  const program: Program = {
    command: [script, control.way],
    opened: async (env) => {
      const args = [join(import.meta.dirname, 'wrong-keychain.ts'), control.way, 'opened'];
      return JSON.parse((await promisify(execFile)(process.execPath, args, { env })).stdout);
    },
  };
  await inWorld(program, control.name, tally, work);
  tried.cases++;
  if (control.isCaught(tally)) tried.caught++;
}

/**
 * Makes a world and runs an attack in it; an error in that is a failure of its own. If the keychain
 * was late, as on a busy machine, it makes another world. Returns how many were made.
 */
async function inWorld(
  program: Program,
  name: string,
  sum: Tally,
  work: (world: World, blame: Blame) => Promise<void>,
): Promise<number> {
  for (let again = 0; ; again++) {
    const tally = newTally();
    const late = await inOneWorld(program, name, tally, work);
    if (late && again < TRIES) continue;
    add(sum, tally);
    return again;
  }
}

async function inOneWorld(
  program: Program,
  name: string,
  tally: Tally,
  work: (world: World, blame: Blame) => Promise<void>,
): Promise<boolean> {
  await using world = await World.make(program);
  try {
    await work(world, new Blame(name, world, tally));
    return false;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tally.failures.push(`${name}: aborted: ${message}`);
    return LATE.test(message);
  }
}

async function inLanes(tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const left = [...tasks];
  const lane = async (): Promise<void> => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await task();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
