import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type StandIn, startStandIn } from '../support/dbus-service.ts';
import type { Ending, Terminal } from '../support/pty.ts';
import { type Blame, begin, CHAT, judgeSecrets, judgeSessions } from './keychain-states-attack.ts';
import { type Ran, sealedFiles, type World } from './keychain-states-world.ts';

/** A state that comes and goes while a program runs, or that a person leaves open. */
export interface Moment {
  readonly name: string;
  /** It mostly waits. */
  readonly idle?: true;
  pass(world: World, blame: Blame): Promise<void>;
}

/** Longer than two prompts that nobody answers stay open. */
const TWO_PROMPTS = 160_000;

/** The moments among the eighteen states. */
export const moments: readonly Moment[] = [
  { name: 'prompt unanswered: a list', idle: true, pass: listUnanswered },
  { name: 'prompt unanswered: a chat', idle: true, pass: chatUnanswered },
  {
    name: 'prompt unanswered: ctrl+c while a list waits',
    pass: (world, blame) => interrupt(['sessions'], world, blame),
  },
  { name: 'prompt unanswered: ctrl+c while a chat waits', pass: (world, blame) => interrupt(CHAT, world, blame) },
  { name: 'locked in mid-session: begun unlocked, killed', pass: lockedLater },
  { name: 'locked in mid-session: begun unlocked, ended by a signal', pass: endedWithTheKey },
  { name: 'locked in mid-session: begun locked, and unlocked', pass: unlockedLater },
  { name: 'locked in mid-session: begun locked, unlocked before the end', pass: unlockedAtTheEnd },
  { name: 'locked in mid-session: begun locked, ended by a signal', pass: endedWithoutTheKey },
  { name: 'fake security on PATH: as on a Mac', pass: asOnMac },
  ...(
    [
      ['before the flush', 'fsync:signal=KILL:when=1', 1],
      ['before the link', 'link,linkat:signal=KILL:when=1', 1],
      ['after the link', 'unlink,unlinkat:signal=KILL:when=1', 0],
    ] as const
  ).map(([when, inject, orphans]) => ({
    name: `killed between set and link: ${when}`,
    pass: (world: World, blame: Blame) => killed(world, blame, inject, orphans),
  })),
];

async function listUnanswered(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const ran = await blame.run(() =>
    world.runOnTerminal(['sessions'], () => prompter.called('BeginPrompting'), { patience: TWO_PROMPTS }),
  );
  blame.unless(ran.code === 12, 'it does not end with 12', ran);
  blame.unless(
    /^coffer: key \w+ can't be had: nobody answered the unlock prompt.*$/.test(ran.stderr.trim()),
    'not one line',
    ran,
  );
  blame.unless(world.untouched() === before, 'a command that failed changed the vault');
  await settle(world, blame);
}

async function chatUnanswered(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using _prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const talk = async (terminal: Terminal): Promise<void> => {
    await shown(terminal, /» /);
    await say(terminal, 'meanwhile');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: nobody answered the unlock prompt » /);
    terminal.key('ctrl+d');
  };
  const ran = await blame.run(() => world.runOnTerminal(CHAT, talk, { patience: TWO_PROMPTS }));
  blame.unless(ran.code === 15 && /not saved, lost: 2 messages/.test(ran.stderr), 'it does not end with 15', ran);
  blame.unless(world.untouched() === before, 'a chat that could not be saved changed the vault');
  await settle(world, blame);
}

/** Who does not wait for the prompt's end need not. */
async function interrupt(args: readonly string[], world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const talk = async (terminal: Terminal): Promise<void> => {
    await prompter.called('BeginPrompting');
    terminal.key('ctrl+c');
  };
  const ran = await blame.run(() => world.runOnTerminal(args, talk, { patience: TWO_PROMPTS }));
  blame.unless(isEndedBy(ran, 'SIGINT'), 'ctrl+c does not end it', ran);
  blame.unless(world.untouched() === before, 'it changed the vault');
  await settle(world, blame);
}

async function lockedLater(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await converse(world, blame, async (terminal, program) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/» /);
    await world.bus.lockCollection();
    await say(terminal, 'two');
    // The key is in memory, and what is said is saved by it all the same.
    if (/NOT SAVED/.test((await terminal.waitFor(/(.*)» /))[1]!)) throw new Error('it is not saved any more');
    for (const word of ['one', 'two']) world.acknowledged.add(word);
    process.kill(await program(), 'SIGKILL');
  });
  await settle(world, blame);
}

async function endedWithTheKey(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  const ran = await converse(world, blame, async (terminal, program) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/» /);
    await world.bus.lockCollection();
    await say(terminal, 'two');
    await terminal.waitFor(/» /);
    process.kill(await program(), 'SIGTERM');
  });
  blame.unless(isEndedBy(ran, 'SIGTERM'), 'the parent does not see the signal', ran);
  if (!/lost/.test(ran.stderr)) for (const word of ['one', 'two']) world.acknowledged.add(word);
  blame.unless(world.acknowledged.has('two'), 'it is not saved', ran);
  await settle(world, blame);
}

async function unlockedLater(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await world.bus.lockCollection();
  const ran = await converse(world, blame, async (terminal) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the keychain is locked » /);
    await world.bus.unlockCollection();
    await say(terminal, 'two');
    await terminal.waitFor(/saved again/);
    for (const word of ['one', 'two']) world.acknowledged.add(word);
    await terminal.waitFor(/» /);
    await world.bus.lockCollection();
    await say(terminal, 'three');
    if (/NOT SAVED/.test((await terminal.waitFor(/(.*)» /))[1]!)) throw new Error('it is not saved any more');
    world.acknowledged.add('three');
    terminal.key('ctrl+d');
  });
  blame.unless(ran.code === 0, 'it does not end with 0', ran);
  await settle(world, blame);
}

async function unlockedAtTheEnd(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await world.bus.lockCollection();
  const ran = await converse(world, blame, async (terminal) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the keychain is locked » /);
    await world.bus.unlockCollection();
    terminal.key('ctrl+d');
  });
  blame.unless(ran.code === 0, 'it does not end with 0', ran);
  world.acknowledged.add('one');
  await settle(world, blame);
}

async function endedWithoutTheKey(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await world.bus.lockCollection();
  const before = world.untouched();
  const ran = await converse(world, blame, async (terminal, program) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the keychain is locked » /);
    process.kill(await program(), 'SIGTERM');
  });
  blame.unless(isEndedBy(ran, 'SIGTERM'), 'the parent does not see the signal', ran);
  blame.unless(/not saved, lost: 2 messages since/.test(ran.stderr), 'it is not said what is lost', ran.stderr);
  blame.unless(world.untouched() === before, 'a chat that could not be saved changed the vault');
  await settle(world, blame);
}

/** Killed at a system call of the first use; the next start must work, with one key. */
async function killed(world: World, blame: Blame, inject: string, orphans: number): Promise<void> {
  blame.tally.cases++;
  const ran = await world.run(CHAT, { input: 'never answered\n', inject });
  const first = await world.items();
  blame.unless(ran.signal === 'SIGKILL' && ran.stdout === '', 'it was not killed in its first use', ran);
  blame.unless(first.length === 1, 'no key was set before the kill', first.length);
  blame.unless(((await world.keyId()) === undefined) === (orphans === 1), 'vault.json is there, or is not');
  await begin(world, blame);
  const [items, keyId] = [await world.items(), await world.keyId()];
  const others = items.filter((item) => !item.startsWith(`${keyId}=`));
  blame.tally.kills++;
  blame.tally.orphans += others.length;
  blame.tally.secondKeys += Math.max(0, others.length - orphans);
  blame.unless(items.length === 1 + orphans, 'another key was made than the one that is needed', items.length);
  await begin(world, blame);
  blame.unless((await world.items()).length === items.length, 'a third start made a key');
  const keys = await keysIn(world);
  blame.unless(keys.length === 1 && keys[0] === keyId, 'files are sealed with other keys', keys);
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
  blame.tally.started += world.started;
}

/** The way to the keychain of a Mac starts one program, by its path: not by what PATH has under that name. */
async function asOnMac(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  const ran = await blame.run(() => world.run([], { script: join('test', 'faults', 'keychain-states-mac.ts') }));
  const absent = { outcome: 'ABSENT', detail: '/usr/bin/security cannot be run: ENOENT' };
  blame.unless(ran.stdout === JSON.stringify([absent, absent, absent, absent]), 'it is not absent', ran);
  await settle(world, blame);
}

/** The key ids in the headers of the sealed files. */
async function keysIn({ place }: World): Promise<string[]> {
  const files = await sealedFiles(place.data);
  const ids = files.map(async (name) => (await readFile(place.sessionFile(name))).toString('hex', 12, 28));
  return [...new Set(await Promise.all(ids))];
}

/**
 * Somebody sits before the screen and sees a prompt, which nobody answers: the program that shows prompts says that it does, and no
 * more. (One that does not even say that counts as a dismissal after 25 seconds.)
 */
export async function lockBeforeSomebody(world: World): Promise<StandIn> {
  await world.bus.lockCollection();
  world.changes = { DISPLAY: ':99' };
  return startStandIn(world.bus.env, 'org.gnome.keyring.SystemPrompter', ({ member }) =>
    member === 'BeginPrompting' ? { signature: '', body: [] } : 'silence',
  );
}

/** Unlocks, and looks for everything: the sessions, the one key, and who saw it. */
async function settle(world: World, blame: Blame): Promise<void> {
  await world.bus.unlockCollection();
  world.changes = {};
  const items = (await world.items()).length;
  blame.tally.secondKeys += items - 1;
  blame.unless(items === 1, 'there is not one key in the keychain', items);
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
  blame.tally.started += world.started;
}

function converse(
  world: World,
  blame: Blame,
  talk: (terminal: Terminal, program: () => Promise<number>) => Promise<void>,
): Promise<Ran> {
  blame.tally.cases++;
  return world.runOnTerminal(CHAT, talk);
}

async function say(terminal: Terminal, word: string): Promise<void> {
  terminal.enter(`${word} typed`);
  await terminal.waitFor(new RegExp(`echo: ${word} typed`));
}

/** Waits longer than a terminal does by itself. */
async function shown(terminal: Terminal, pattern: RegExp): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await terminal.waitFor(pattern);
      return;
    } catch (error) {
      if (attempt === 5 || terminal.ending) throw error; // else it is only late, as it must be here
    }
  }
}

function isEndedBy({ code, signal }: Ending, wanted: NodeJS.Signals): boolean {
  return signal === wanted || code === { SIGINT: 130, SIGTERM: 143 }[wanted as string];
}
