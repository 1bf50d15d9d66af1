import type { Terminal } from '../support/pty.ts';
import { type Blame, begin, CHAT } from './keychain-states-attack.ts';
import { isEndedBy, lockBeforeSomebody, say, settle, shown } from './keychain-states-sitting.ts';
import type { World } from './keychain-states-world.ts';

/** Longer than an unanswered prompt stays open, in milliseconds. */
const PROMPT = 120_000;

/** A list that waits for a prompt must end in time without an answer. */
export async function listUnanswered(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const ran = await blame.run(() =>
    world.runOnTerminal(['sessions'], () => prompter.called('BeginPrompting'), { patience: PROMPT }),
  );
  blame.unless(ran.code === 12, 'it does not end with 12', ran);
  blame.unless(
    /^the keychain is locked; answer its prompt\s+coffer: cannot get key \w+: the unlock prompt was not answered.*$/.test(
      ran.stderr.trim(),
    ),
    'not the line about the prompt, and one for what it came to',
    ran,
  );
  blame.unless(world.untouched() === before, 'a command that failed changed the vault');
  await settle(world, blame);
}

/**
 * A chat must not wait for the prompt before its end, and then no longer than the prompt stays
 * open.
 */
export async function chatUnanswered(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using _prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const talk = async (terminal: Terminal): Promise<void> => {
    await shown(terminal, /» /);
    await say(terminal, 'meanwhile');
    await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the keychain has not answered » /);
    terminal.key('ctrl+d');
  };
  const ran = await blame.run(() => world.runOnTerminal(CHAT, talk, { patience: PROMPT }));
  blame.unless(ran.code === 15 && /not saved, lost: 2 messages/.test(ran.stderr), 'it does not end with 15', ran);
  blame.unless(world.untouched() === before, 'a chat that could not be saved changed the vault');
  await settle(world, blame);
}

/** Interrupts a command that waits for the prompt. */
export async function interrupt(args: readonly string[], world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  using prompter = await lockBeforeSomebody(world);
  const before = world.untouched();
  const talk = async (terminal: Terminal): Promise<void> => {
    await prompter.called('BeginPrompting');
    // A chat at its prompt needs two.
    for (let presses = 0; presses < 2 && !terminal.ending; presses++) terminal.key('ctrl+c');
  };
  const ran = await blame.run(() => world.runOnTerminal(args, talk, { patience: PROMPT }));
  blame.unless(isEndedBy(ran, 'SIGINT'), 'ctrl+c does not end it', ran);
  blame.unless(world.untouched() === before, 'it changed the vault');
  await settle(world, blame);
}

/** Interrupts the end of a chat, whose final attempt to save prompts once more. */
export async function interruptTheEnd(world: World, blame: Blame): Promise<void> {
  await begin(world, blame);
  await world.bus.lockCollection();
  world.changes = { DISPLAY: ':99' };
  const before = world.untouched();
  const ran = await blame.run(() =>
    world.runOnTerminal(CHAT, async (terminal) => {
      await terminal.waitFor(/» /);
      await say(terminal, 'meanwhile');
      await terminal.waitFor(/NOT SAVED since \d\d:\d\d: the unlock prompt was dismissed » /);
      // From now on prompts are shown, and this one stays open.
      using prompter = await lockBeforeSomebody(world);
      terminal.key('ctrl+d');
      await prompter.called('BeginPrompting');
      for (let presses = 0; presses < 2; presses++) terminal.key('ctrl+c');
      await terminal.exit;
    }),
  );
  blame.unless(isEndedBy(ran, 'SIGINT'), 'ctrl+c does not end it', ran);
  blame.unless(/not saved, lost: 2 messages/.test(ran.stderr), 'it does not say what is lost', ran.stderr);
  blame.unless(world.untouched() === before, 'it changed the vault');
  await settle(world, blame);
}
