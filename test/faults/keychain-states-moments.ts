import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Blame, begin, CHAT, judgeSecrets, judgeSessions } from './keychain-states-attack.ts';
import { chatUnanswered, interrupt, interruptTheEnd, listUnanswered } from './keychain-states-prompts.ts';
import { converse, isEndedBy, type Moment, say, settle } from './keychain-states-sitting.ts';
import { sealedFiles, type World } from './keychain-states-world.ts';

/** The moments among the eighteen states. */
export const moments: readonly Moment[] = [
  { name: 'prompt unanswered: a list', idle: true, pass: listUnanswered },
  { name: 'prompt unanswered: a chat', idle: true, pass: chatUnanswered },
  {
    name: 'prompt unanswered: ctrl+c while a list waits',
    pass: (world, blame) => interrupt(['sessions'], world, blame),
  },
  { name: 'prompt unanswered: ctrl+c while a chat waits', pass: (world, blame) => interrupt(CHAT, world, blame) },
  { name: 'prompt unanswered: ctrl+c while the end of a chat waits', pass: interruptTheEnd },
  { name: 'locked in mid-session: begun unlocked, killed', pass: lockedLater },
  { name: 'locked in mid-session: begun unlocked, ended by a signal', pass: endedWithTheKey },
  { name: 'locked in mid-session: begun locked, and unlocked', pass: unlockedLater },
  { name: 'locked in mid-session: begun locked, unlocked before the end', pass: unlockedAtTheEnd },
  { name: 'locked in mid-session: begun locked, ended by a signal', pass: endedWithoutTheKey },
  { name: 'no service: begun without, and it came', pass: serviceLater },
  { name: 'service never starts: stopped, and it went on before the end', pass: answeredAtTheEnd },
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

async function lockedLater(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await converse(world, blame, async (terminal, program) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/» /);
    await world.bus.lockCollection();
    await say(terminal, 'two');
    // The key is in memory, so messages must still be saved.
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
  blame.unless(/not saved, lost: 2 messages since/.test(ran.stderr), 'it does not say what is lost', ran.stderr);
  blame.unless(world.untouched() === before, 'a chat that could not be saved changed the vault');
  await settle(world, blame);
}

async function serviceLater(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await world.endKeyring();
  const ran = await converse(world, blame, async (terminal) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: there is no keychain on the session bus » /);
    await world.startKeyring();
    await say(terminal, 'two');
    await terminal.waitFor(/saved again/);
    terminal.key('ctrl+d');
  });
  blame.unless(ran.code === 0, 'it does not end with 0', ran);
  for (const word of ['one', 'two']) world.acknowledged.add(word);
  await settle(world, blame);
}

/** After a keychain gave no answer, the steps do not ask it again, but the end of the chat does. */
async function answeredAtTheEnd(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  world.keyring.kill('SIGSTOP');
  const ran = await converse(world, blame, async (terminal) => {
    await terminal.waitFor(/» /);
    await say(terminal, 'one');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the keychain has not answered » /);
    world.keyring.kill('SIGCONT');
    terminal.key('ctrl+d');
  });
  blame.unless(ran.code === 0, 'it does not end with 0', ran);
  world.acknowledged.add('one');
  await settle(world, blame);
}

/** Kills the first use at a system call. The next start must work, with one key. */
async function killed(world: World, blame: Blame, inject: string, orphans: number): Promise<void> {
  blame.tally.cases++;
  const ran = await world.run(CHAT, { input: 'never answered\n', inject });
  const first = await world.items();
  blame.unless(ran.signal === 'SIGKILL' && ran.stdout === '', 'it was not killed in its first use', ran);
  blame.unless(first.length === 1, 'no key was set before the kill', first.length);
  blame.unless(((await world.keyId()) === undefined) === (orphans === 1), 'vault.json wrongly exists, or is missing');
  await begin(world, blame);
  const [items, keyId] = [await world.items(), await world.keyId()];
  const others = items.filter((item) => !item.startsWith(`${keyId}=`));
  blame.tally.kills++;
  blame.tally.orphans += others.length;
  blame.tally.secondKeys += Math.max(0, others.length - orphans);
  blame.unless(items.length === 1 + orphans, 'an unneeded key was made', items.length);
  await begin(world, blame);
  blame.unless((await world.items()).length === items.length, 'a third start made a key');
  const keys = await keysIn(world);
  blame.unless(keys.length === 1 && keys[0] === keyId, 'files are sealed with other keys', keys);
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
  blame.tally.started += world.started;
}

/**
 * On a Mac the keychain is reached by starting one program by its path, not by its name on PATH.
 */
async function asOnMac(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  const ran = await blame.run(() => world.run([], { script: join('test', 'faults', 'keychain-states-mac.ts') }));
  const absent = { outcome: 'ABSENT', detail: '/usr/bin/security cannot be run: ENOENT' };
  blame.unless(ran.stdout === JSON.stringify([absent, absent, absent, absent]), 'it is not absent', ran);
  await settle(world, blame);
}

/** Returns the key ids in the headers of the sealed files. */
async function keysIn({ place }: World): Promise<string[]> {
  const files = await sealedFiles(place.data);
  const ids = files.map(async (name) => (await readFile(place.sessionFile(name))).toString('hex', 12, 28));
  return [...new Set(await Promise.all(ids))];
}
