import type { Answer, ItemName, Refusal } from './answer.ts';
import { asBusError, BUS, type Bus, BusError } from './dbus.ts';
import type { Variant } from './dbus-wire.ts';

/** The bus name of the Secret Service. */
export const SECRETS = 'org.freedesktop.secrets';
/** The object path of the service. */
export const SERVICE_PATH = '/org/freedesktop/secrets';
/** The interface of the service. */
export const SERVICE_INTERFACE = 'org.freedesktop.Secret.Service';
/** The interface of a collection. */
export const COLLECTION_INTERFACE = 'org.freedesktop.Secret.Collection';

/** The path that the Secret Service uses for "no object". */
export const NO_OBJECT = '/';

/** The schema of keytar's items; keytar doesn't find items that lack it. */
const SCHEMA = 'org.freedesktop.Secret.Generic';

/** The state of the Secret Service and of one item, as it reports them without a prompt. */
export interface ServiceState {
  /** The default collection, which gets new items; undefined if there is none. */
  readonly collection: string | undefined;
  /** Whether that collection is locked. */
  readonly isLocked: boolean;
  /** The items with that name that are unlocked. */
  readonly open: readonly string[];
  /** The items with that name that are locked. */
  readonly shut: readonly string[];
}

/**
 * Returns the attributes of an item: the same as keytar's, so that each finds the other's items.
 */
export function attributesOf(item: ItemName): [string, string][] {
  return [
    ['service', item.service],
    ['account', item.account],
    ['xdg:schema', SCHEMA],
  ];
}

/**
 * Returns the state of the Secret Service, starting the service if the bus can. Never prompts.
 * Rejects with a {@link BusError}. Measured: 1 to 4 ms.
 */
export async function askState(bus: Bus, item: ItemName): Promise<ServiceState> {
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
 * When eight processes created a vault at the same moment, gnome-keyring reported UnknownMethod to
 * one process in four hundred. The call is retried for a moment.
 */
const TRIES = 5;
const PAUSE_MS = 20;

async function askOnce(bus: Bus, item: ItemName): Promise<ServiceState> {
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

/** Returns whether a new item could be stored. Pure. */
export function probeAnswer(state: ServiceState): Answer {
  if (state.collection === undefined) return NO_COLLECTION;
  if (state.isLocked) return LOCKED;
  return { outcome: 'READY', detail: 'the keychain is unlocked' };
}

/** Returns why nothing can be written, or undefined if it can be tried. Pure. */
export function writeRefusal(state: ServiceState, mayPrompt: boolean): Refusal | undefined {
  if (state.collection === undefined) return NO_COLLECTION;
  return state.isLocked && !mayPrompt ? LOCKED : undefined;
}

/**
 * Returns why the item can't be read or deleted, or undefined if it can be tried. A locked
 * collection may hide its items, so a missing item means `NOT_FOUND` only if everything is
 * unlocked. Pure.
 */
export function readRefusal(state: ServiceState, mayPrompt: boolean): Refusal | undefined {
  if (state.open.length > 0) return undefined;
  if (state.shut.length === 0 && !state.isLocked) return NOT_FOUND;
  return mayPrompt ? undefined : LOCKED;
}

/** Returns the refusal for a bus error. Pure. */
export function failureAnswer(error: BusError): Refusal {
  if (error.kind === 'late') return { outcome: 'TIMEOUT', detail: error.message };
  if (error.kind === 'absent') return { outcome: 'ABSENT', detail: error.message };
  // Bus names consist of these characters only; others must not reach the user.
  const name = error.errorName.replace(/[^\w.]/g, '').slice(0, 120);
  const [outcome, detail] = REFUSALS.find(([pattern]) => pattern.test(name))?.[1] ?? ['DECLINED', 'refused'];
  return { outcome, detail: `the keychain ${detail} (${name})` };
}

/** Checks that a value is an object path. Throws a {@link BusError} if it isn't. */
export function objectPath(value: unknown): string {
  if (typeof value === 'string' && value.startsWith('/')) return value;
  throw new BusError('absent', INVALID_REPLY);
}

const NO_COLLECTION: Refusal = { outcome: 'ABSENT', detail: 'the keychain has no default collection' };
/** The collection or the item is locked, and no prompt is allowed. */
export const LOCKED: Refusal = { outcome: 'LOCKED', detail: 'the keychain is locked' };
/** The user dismissed the unlock prompt. */
export const DISMISSED: Refusal = { outcome: 'DECLINED', detail: 'the unlock prompt was dismissed' };
/** The unlock prompt was open for too long. */
export const UNANSWERED: Refusal = { outcome: 'TIMEOUT', detail: 'the unlock prompt was not answered' };
/** Everything is unlocked, and there is no such item. */
export const NOT_FOUND: Refusal = { outcome: 'NOT_FOUND', detail: 'the keychain has no such key' };

const INVALID_REPLY = 'the keychain sent an invalid reply';

const REFUSALS: readonly [RegExp, readonly [Refusal['outcome'], string]][] = [
  [/\.IsLocked$/, ['LOCKED', 'is locked']],
  [/\.NoSuchObject$|\.UnknownObject$/, ['NOT_FOUND', 'no longer has this item']],
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
      throw new BusError('absent', 'there is no keychain on the session bus');
    }
    await bus.call(BUS, 'StartServiceByName', 'su', SECRETS, 0);
  }
}

function paths(value: unknown): string[] {
  if (!Array.isArray(value)) throw new BusError('absent', INVALID_REPLY);
  return value.map(objectPath);
}
