import { type StandIn, startStandIn } from '../support/dbus-service.ts';
import type { Ending, Terminal } from '../support/pty.ts';
import { type Blame, CHAT, judgeSecrets, judgeSessions } from './keychain-states-attack.ts';
import type { Ran, World } from './keychain-states-world.ts';

/** A state that comes and goes while a program runs, or that a user leaves open. */
export interface Moment {
  readonly name: string;
  /** Set if it mostly waits. */
  readonly idle?: true;
  pass(world: World, blame: Blame): Promise<void>;
}

/**
 * Locks the keychain with a user present who sees a prompt and doesn't answer it: the program that
 * shows prompts confirms that it does, and nothing more. (One that does not even confirm that
 * counts as a dismissal after 25 seconds.)
 */
export async function lockBeforeSomebody(world: World): Promise<StandIn> {
  await world.bus.lockCollection();
  world.changes = { DISPLAY: ':99' };
  return startStandIn(world.bus.env, 'org.gnome.keyring.SystemPrompter', ({ member }) =>
    member === 'BeginPrompting' ? { signature: '', body: [] } : 'silence',
  );
}

/** Unlocks, and checks everything: the sessions, the one key, and who saw it. */
export async function settle(world: World, blame: Blame): Promise<void> {
  await world.bus.unlockCollection();
  world.changes = {};
  const items = (await world.items()).length;
  blame.tally.secondKeys += items - 1;
  blame.unless(items === 1, 'the keychain does not hold exactly one key', items);
  await judgeSessions(world, blame);
  await judgeSecrets(world, blame);
  blame.tally.started += world.started;
}

/** Starts a chat on a terminal with a user present. */
export function converse(
  world: World,
  blame: Blame,
  talk: (terminal: Terminal, program: () => Promise<number>) => Promise<void>,
): Promise<Ran> {
  blame.tally.cases++;
  return world.runOnTerminal(CHAT, talk);
}

/** Says a word, and waits for the answer. */
export async function say(terminal: Terminal, word: string): Promise<void> {
  terminal.enter(`${word} typed`);
  await terminal.waitFor(new RegExp(`echo: ${word} typed`));
}

/** Waits longer than a terminal does by default. */
export async function shown(terminal: Terminal, pattern: RegExp): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await terminal.waitFor(pattern);
      return;
    } catch (error) {
      if (attempt === 5 || terminal.ending) throw error; // else it is only late, as expected here
    }
  }
}

/** Returns whether the parent sees that a signal ended it. */
export function isEndedBy({ code, signal }: Ending, wanted: NodeJS.Signals): boolean {
  return signal === wanted || code === { SIGINT: 130, SIGTERM: 143 }[wanted as string];
}
