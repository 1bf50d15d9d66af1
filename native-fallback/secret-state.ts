import type { Answer, ItemName, Refusal } from './answer.ts';
import { asBusError, BUS, type Bus, BusError } from './dbus.ts';
import type { Variant } from './dbus-wire.ts';

export const SECRETS = 'org.freedesktop.secrets';
export const SERVICE_PATH = '/org/freedesktop/secrets';
export const SERVICE_INTERFACE = 'org.freedesktop.Secret.Service';
export const COLLECTION_INTERFACE = 'org.freedesktop.Secret.Collection';

/** How the Secret Service says "no such object". */
export const NO_OBJECT = '/';

/** The schema that keytar gives its items; without it keytar does not find them. */
const SCHEMA = 'org.freedesktop.Secret.Generic';

/** What the Secret Service says about itself and one item, without a prompt. */
export interface State {
  /** The default collection, where new items go; undefined where there is none. */
  readonly collection: string | undefined;
  /** Whether that collection is locked. */
  readonly isLocked: boolean;
  /** The items of that name in unlocked collections, and in locked ones. */
  readonly open: readonly string[];
  readonly shut: readonly string[];
}

/** The attributes of an item: those of keytar, so that each finds what the other keeps. */
export function attributesOf(item: ItemName): [string, string][] {
  return [
    ['service', item.service],
    ['account', item.account],
    ['xdg:schema', SCHEMA],
  ];
}

/**
 * Asks the Secret Service how things are; starts it where the bus can. Never prompts.
 * Rejects with a {@link BusError}. Measured: 1 to 4 ms.
 */
export async function askState(bus: Bus, item: ItemName): Promise<State> {
  await reachService(bus);
  for (let tries = 1; ; tries++) {
    try {
      return await askOnce(bus, item);
    } catch (error) {
      if (tries === TRIES || !/\.UnknownMethod$/.test(asBusError(error).errorName)) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/**
 * One process of four hundred that made a vault at the same moment as seven others was told by gnome-keyring that there is no such method.
 * It is asked again, for a moment.
 */
const TRIES = 5;
const PAUSE_MS = 20;

async function askOnce(bus: Bus, item: ItemName): Promise<State> {
  const service = { destination: SECRETS, path: SERVICE_PATH, interface: SERVICE_INTERFACE };
  const [[alias], [open, shut]] = await Promise.all([
    bus.call(service, 'ReadAlias', 's', 'default'),
    bus.call(service, 'SearchItems', 'a{ss}', attributesOf(item)),
  ]);
  const items = { open: paths(open), shut: paths(shut) };
  const [collection] = paths([alias]).filter((path) => path !== NO_OBJECT);
  if (collection === undefined) return { collection, isLocked: false, ...items };
  const properties = { destination: SECRETS, path: collection, interface: 'org.freedesktop.DBus.Properties' };
  const [locked] = await bus.call(properties, 'Get', 'ss', COLLECTION_INTERFACE, 'Locked');
  return { collection, isLocked: (locked as Variant | undefined)?.value !== false, ...items };
}

/** Whether a new item could be kept. Pure. */
export function probeAnswer(state: State): Answer {
  if (state.collection === undefined) return NO_COLLECTION;
  if (state.isLocked) return LOCKED;
  return { outcome: 'READY', detail: 'the keychain is unlocked' };
}

/** Why nothing can be written, or undefined where it can be tried. Pure. */
export function writeRefusal(state: State, mayPrompt: boolean): Refusal | undefined {
  if (state.collection === undefined) return NO_COLLECTION;
  return state.isLocked && !mayPrompt ? LOCKED : undefined;
}

/**
 * Why the item cannot be read or deleted, or undefined where it can be tried. Pure. A locked collection may hide its items:
 * that one is not in sight means `NOT_FOUND` only where everything is unlocked.
 */
export function readRefusal(state: State, mayPrompt: boolean): Refusal | undefined {
  if (state.open.length > 0) return undefined;
  if (state.shut.length === 0 && !state.isLocked) return NOT_FOUND;
  return mayPrompt ? undefined : LOCKED;
}

/** What the failure of a conversation with the bus means. Pure. */
export function failureAnswer(error: BusError): Refusal {
  if (error.kind === 'late') return { outcome: 'TIMEOUT', detail: error.message };
  if (error.kind === 'absent') return { outcome: 'ABSENT', detail: error.message };
  // A name on the bus is made of these characters; anything else in it is not repeated to people.
  const name = error.errorName.replace(/[^\w.]/g, '').slice(0, 120);
  const [outcome, detail] = REFUSALS.find(([pattern]) => pattern.test(name))?.[1] ?? ['DECLINED', 'refused'];
  return { outcome, detail: `the keychain ${detail} (${name})` };
}

/** Takes an object path out of an answer. Throws a {@link BusError} where it is none. */
export function objectPath(value: unknown): string {
  if (typeof value === 'string' && value.startsWith('/')) return value;
  throw new BusError('absent', NOT_UNDERSTOOD);
}

const NO_COLLECTION: Refusal = { outcome: 'ABSENT', detail: 'the keychain has no default collection' };
export const LOCKED: Refusal = { outcome: 'LOCKED', detail: 'the keychain is locked' };
export const DISMISSED: Refusal = { outcome: 'DECLINED', detail: 'the unlock prompt was dismissed' };
export const UNANSWERED: Refusal = { outcome: 'TIMEOUT', detail: 'nobody answered the unlock prompt' };
export const NOT_FOUND: Refusal = { outcome: 'NOT_FOUND', detail: 'the keychain has no such key' };

const NOT_UNDERSTOOD = 'what answers as the keychain cannot be understood';

const REFUSALS: readonly [RegExp, readonly [Refusal['outcome'], string]][] = [
  [/\.IsLocked$/, ['LOCKED', 'is locked']],
  [/\.NoSuchObject$|\.UnknownObject$/, ['NOT_FOUND', 'has no such item any more']],
  [/\.ServiceUnknown$|\.NameHasNoOwner$|\.NoReply$|\.Disconnected$/, ['ABSENT', 'went away']],
  [/\.Spawn\.|\.UnknownMethod$|\.UnknownInterface$|\.NotSupported$/, ['ABSENT', 'does not work']],
  [/\.Timeout$|\.TimedOut$/, ['TIMEOUT', 'does not answer']],
];

async function reachService(bus: Bus): Promise<void> {
  try {
    await bus.call(BUS, 'GetNameOwner', 's', SECRETS);
  } catch (error) {
    if (asBusError(error).kind !== 'refused') throw error;
    const [names] = await bus.call(BUS, 'ListActivatableNames');
    if (!(names as string[]).includes(SECRETS)) {
      throw new BusError('absent', 'no keychain is on the session bus');
    }
    await bus.call(BUS, 'StartServiceByName', 'su', SECRETS, 0);
  }
}

function paths(value: unknown): string[] {
  if (!Array.isArray(value)) throw new BusError('absent', NOT_UNDERSTOOD);
  return value.map(objectPath);
}
