import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { State } from './keychain-states-table.ts';
import { type Ran, sealedFiles, type World } from './keychain-states-world.ts';

/** The findings of an attack. */
export interface Tally {
  cases: number;
  /** Sessions that were reported as saved and are gone. */
  lostSessions: number;
  /** Unneeded keys in the keychain, and vaults that name another key than before. */
  secondKeys: number;
  /**
   * First uses that were killed, and the items that they left in the keychain under a name that no
   * vault has.
   */
  kills: number;
  orphans: number;
  /** Programs on PATH that were called. */
  trapped: number;
  /** Places where others could see a key. */
  leaks: number;
  /** Runs that did not end in time. */
  hung: number;
  /** Programs that were started under strace. */
  started: number;
  readonly failures: string[];
}

/** Returns an empty tally. */
export function newTally(): Tally {
  const sessions = { cases: 0, lostSessions: 0, secondKeys: 0, kills: 0, orphans: 0 };
  return { ...sessions, trapped: 0, leaks: 0, hung: 0, started: 0, failures: [] };
}

/**
 * Messages that a busy machine may cause in any state. The state has to be tried again, in a new
 * world.
 */
export const LATE: RegExp = /the keychain does not answer|KEY_TIMEOUT/;

/**
 * Puts a program through one state: it lists, exports, chats and begins a vault, and then
 * everything must be as before.
 */
export async function attack(state: State, world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  const whole = await world.items();
  await state.bring(world);
  const keyId = await world.keyId();
  const named = await vaultFile(world);
  const left = await shown(world, whole);
  await read(state, world, blame);
  await chat(state, world, blame);
  await chatWithoutRecord(state, world, blame, keyId);
  const own = await firstUse(state, world, blame);
  await judge(state, world, blame, { keyId, named, left, own });
}

/** Adds the findings in one world to earlier ones. */
export function add(sum: Tally, one: Tally): void {
  sum.failures.push(...one.failures);
  for (const name of Object.keys(one) as (keyof Tally)[]) {
    if (name !== 'failures') sum[name] += one[name];
  }
}

/** Records failures together with their state. */
export class Blame {
  readonly name: string;
  readonly world: World;
  readonly tally: Tally;

  constructor(name: string, world: World, tally: Tally) {
    this.name = name;
    this.world = world;
    this.tally = tally;
  }

  /** Records a failure unless `fine`, with what was seen. */
  unless(fine: boolean, what: string, seen: unknown = ''): boolean {
    if (!fine) this.tally.failures.push(`${this.name}: ${what}${seen === '' ? '' : `: ${JSON.stringify(seen)}`}`);
    return fine;
  }

  /**
   * Runs the program. Throws on output that matches {@link LATE} if the keychain was late for
   * reasons other than the state.
   */
  async run(run: () => Promise<Ran>, isLateRight = false): Promise<Ran> {
    this.tally.cases++;
    const ran = await run();
    if (ran.signal === 'SIGKILL') this.tally.hung++;
    if (!isLateRight && LATE.test(ran.stderr)) throw new Error(`${this.name}: ${ran.stderr}`);
    return ran;
  }
}

/** Makes a first use without faults: a vault with a session, and its key in the keychain. */
export async function begin(world: World, blame: Blame): Promise<void> {
  const ran = await blame.run(() => world.run(CHAT, { input: 'before it all\n' }));
  if (!blame.unless(ran.code === 0 && ran.stdout === 'echo: before it all\n', 'no vault was created', ran)) {
    throw new Error(`${blame.name}: ${ran.stderr}`);
  }
  world.acknowledged.add('before');
  await world.items();
}

/** Arguments of a chat with a model that echoes its prompt. */
export const CHAT: readonly string[] = ['--model', 'demo/echo'];

async function read(state: State, world: World, blame: Blame): Promise<void> {
  const before = world.untouched();
  for (const args of [['sessions'], ['export', '1', '--format', 'json']]) {
    const what = `coffer ${args[0]}`;
    const ran = await blame.run(() => start(state, world, args), isLate(state));
    if (state.refused === undefined) {
      blame.unless(
        ran.code === 0 && /saved sessions \(1\)|before it all/.test(ran.stdout),
        `${what} does not work`,
        ran,
      );
      continue;
    }
    // At a terminal the prompt is announced before its outcome.
    const lines = ran.stderr
      .trim()
      .split('\n')
      .filter((line) => !line.includes('answer its prompt'));
    blame.unless(ran.code === 12, `${what} does not end with 12`, ran);
    blame.unless(ran.stdout === '' && lines.length === 1, `${what} says more than one line`, ran);
    blame.unless(state.refused.test(ran.stderr), `${what} does not name the state`, ran.stderr);
    blame.unless(ran.stderr.includes((await world.keyId()) ?? 'a key'), `${what} does not name the key`, ran.stderr);
  }
  blame.unless(world.untouched() === before, 'a command that only reads changed the vault');
}

async function chat(state: State, world: World, blame: Blame): Promise<void> {
  const before = world.untouched();
  const [files, named] = [await sealedFiles(world.place.data), await vaultFile(world)];
  const ran = await blame.run(() => converse(state, world), isLate(state));
  const said = `${ran.stdout}${ran.stderr}`;
  blame.unless(said.includes('echo: meanwhile') && said.includes('echo: stillthere'), 'the chat does not work', ran);
  acknowledge(world, ran, ['meanwhile', 'stillthere']);
  blame.unless((await vaultFile(world)) === named, 'a chat changed vault.json');
  if (state.refused === undefined) {
    blame.unless(ran.code === 0 && !/NOT SAVED|memory/.test(ran.stderr), 'a chat is not saved', ran);
    const now = await sealedFiles(world.place.data);
    blame.unless(now.length === files.length + 1, 'a chat made no new session', now);
    return;
  }
  blame.unless(ran.code === 15, 'a chat that lost something does not end with 15', ran);
  blame.unless(/NOT SAVED since \d\d:\d\d: /.test(ran.stderr), 'a chat does not say that it is not saved', ran.stderr);
  blame.unless(
    /not saved, lost: 4 messages since \d\d:\d\d: /.test(ran.stderr),
    'it does not say what is lost',
    ran.stderr,
  );
  blame.unless(state.refused.test(ran.stderr), 'a chat does not name the state', ran.stderr);
  blame.unless(world.untouched() === before, 'a chat that could not be saved changed the vault');
}

/** Chats with vault.json gone as well: the key named by the sealed files is the only valid one. */
async function chatWithoutRecord(state: State, world: World, blame: Blame, keyId: string | undefined): Promise<void> {
  const path = join(world.place.data, 'vault.json');
  const away = join(world.place.temp, 'vault.json');
  if ((await world.keyId()) === undefined) return; // the step that removed it has recorded a failure already
  await rename(path, away);
  const before = world.untouched();
  const ran = await blame.run(() => world.run(CHAT, { input: 'unrecorded typed\n' }), isLate(state));
  blame.unless(ran.stdout === 'echo: unrecorded typed\n', 'a chat without vault.json does not work', ran);
  acknowledge(world, ran, ['unrecorded']);
  if (state.refused === undefined) {
    const isNamed = /vault\.json is not as coffer wrote it/.test(ran.stderr);
    blame.unless(ran.code === 0 && isNamed, 'a chat without vault.json does not say so, or is not saved', ran);
  } else {
    blame.unless(ran.code === 15, 'a chat without vault.json and key does not end with 15', ran);
    blame.unless(world.untouched() === before, 'a chat without vault.json and key changed the vault');
  }
  const made = await world.keyId();
  if (!blame.unless(made === undefined || made === keyId, 'another key was made for the vault'))
    blame.tally.secondKeys++;
  await rename(away, path);
}

/** Begins a vault, and returns its key, if one was made. */
async function firstUse(state: State, world: World, blame: Blame): Promise<string | undefined> {
  const data = join(world.place.root, 'another');
  const ran = await blame.run(() => world.run(CHAT, { data, input: 'elsewhere\n' }), isLate(state));
  blame.unless(ran.stdout === 'echo: elsewhere\n', 'the chat of a first use does not work', ran);
  const keyId = await world.keyId(data);
  const expected = { vault: 0, memory: 0, told: 15 }[state.first];
  blame.unless(ran.code === expected, `a first use does not end with ${expected}`, ran);
  blame.unless(
    (keyId !== undefined) === (state.first === 'vault'),
    'a first use wrongly made a vault, or made none',
    ran,
  );
  if (state.first === 'memory')
    blame.unless(/kept in memory only/.test(ran.stderr), 'it does not say that it is in memory only', ran);
  if (state.first === 'told')
    blame.unless(/not saved, lost: 2 messages/.test(ran.stderr), 'it does not say what is lost', ran);
  if (state.first === 'vault') return keyId;
  blame.unless((await sealedFiles(data)).length === 0, 'a first use without a key left sealed files');
  return undefined;
}

interface Before {
  readonly keyId: string | undefined;
  readonly named: string | undefined;
  readonly left: readonly string[];
  /** The key of the other vault that was begun meanwhile. */
  readonly own: string | undefined;
}

/** Counts the keys, repairs the state, and checks for everything that was acknowledged. */
async function judge(state: State, world: World, blame: Blame, before: Before): Promise<void> {
  const { tally } = blame;
  await state.reach?.(world);
  await judgeKeys(state, world, blame, before);
  await state.restore?.(world);
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
  tally.started += world.started;
}

async function judgeKeys(state: State, world: World, blame: Blame, before: Before): Promise<void> {
  const items = await world.items();
  if (world.met !== undefined) items.push(...(await world.items(world.met)));
  const added = items.filter((item) => !before.left.includes(item));
  const foreign = added.filter((item) => !item.startsWith(`${before.own}=`));
  blame.tally.secondKeys += foreign.length;
  const accounts = foreign.map((item) => item.split('=')[0]);
  blame.unless(foreign.length === 0, 'unneeded keys were set', accounts);
  blame.unless(state.first !== 'vault' || added.length > foreign.length, 'a first use keeps its key elsewhere');
  const gone = before.left.filter((item) => !items.includes(item));
  blame.unless(gone.length === 0, 'items are gone from the keychain', gone.length);
  blame.unless((await vaultFile(world)) === before.named, 'vault.json has changed');
  if ((await world.keyId()) !== before.keyId) blame.tally.secondKeys++;
}

/**
 * Returns the items as the state shows them: locked items show no text, and keep the one they had.
 */
async function shown(world: World, whole: readonly string[]): Promise<string[]> {
  const items = await world.items();
  return items.map((item) => {
    const [account] = item.split('=');
    return item === `${account}=undefined` ? (whole.find((one) => one.startsWith(`${account}=`)) ?? item) : item;
  });
}

/** Expects a fresh process to open everything that was reported as saved. */
export async function judgeSessions(world: World, blame: Blame): Promise<void> {
  const found = await world.program.opened(world.env);
  if (LATE.test(found.error ?? '')) throw new Error(`${blame.name}: ${found.error}`);
  const lost = [...world.acknowledged].filter((word) => !found.texts.includes(word));
  blame.tally.lostSessions += lost.length;
  blame.unless(lost.length === 0, 'saved messages are lost', { lost, error: found.error });
}

/** Expects that no other program has seen a key, or was asked for one. */
export async function judgeSecrets(world: World, blame: Blame): Promise<void> {
  const [leaks, trapped] = [await world.leaks(), await world.trapped()];
  blame.tally.leaks += leaks.length;
  blame.tally.trapped += trapped.length;
  blame.unless(leaks.length === 0, 'a key can be seen', leaks);
  blame.unless(trapped.length === 0, 'a program on PATH was called', trapped);
}

/** A run that ended with 0, and did not say that it is in memory only, was reported as saved. */
function acknowledge(world: World, ran: Ran, words: readonly string[]): void {
  if (ran.code === 0 && !/memory only/.test(ran.stderr)) for (const word of words) world.acknowledged.add(word);
}

function start(state: State, world: World, args: readonly string[]): Promise<Ran> {
  return state.attended ? world.runOnTerminal(args, async () => undefined) : world.run(args);
}

async function converse(state: State, world: World): Promise<Ran> {
  if (!state.attended) return world.run(CHAT, { input: 'meanwhile typed\nstillthere typed\n' });
  return world.runOnTerminal(CHAT, async (terminal) => {
    for (const word of ['meanwhile', 'stillthere']) {
      await terminal.waitFor(/» /);
      terminal.enter(`${word} typed`);
      await terminal.waitFor(new RegExp(`echo: ${word} typed`));
    }
    await terminal.waitFor(/» /);
    terminal.key('ctrl+d');
  });
}

function isLate(state: State): boolean {
  return state.refused?.test('the keychain does not answer') ?? false;
}

function vaultFile({ place }: World): Promise<string | undefined> {
  return readFile(join(place.data, 'vault.json'), 'utf8').catch(() => undefined); // none yet: that is the answer
}
