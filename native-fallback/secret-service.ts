import { readFile } from 'node:fs/promises';
import type { Answer, Found, ItemName, Refusal } from './answer.ts';
import { asBusError, BUS, Bus, BusError } from './dbus.ts';
import type { Variant } from './dbus-wire.ts';
import { openSession, type Secret, type SecretSession } from './secret-session.ts';
import {
  askState,
  attributesOf,
  COLLECTION_INTERFACE,
  DISMISSED,
  failureAnswer,
  NO_OBJECT,
  NOT_FOUND,
  objectPath,
  probeAnswer,
  readRefusal,
  SECRETS,
  SERVICE_INTERFACE,
  SERVICE_PATH,
  type ServiceState,
  UNANSWERED,
  writeRefusal,
} from './secret-state.ts';

/** Options for talking to the Secret Service. Times are in milliseconds. */
export interface Terms {
  /** The environment, of which DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a user can answer an unlock prompt. */
  readonly mayPrompt: boolean;
  /** The maximum silence of the service; Infinity waits forever. */
  readonly silence: number;
  /** The maximum time that an unlock prompt stays open. */
  readonly prompt: number;
  /** Called when an unlock prompt is about to be shown. */
  readonly onPrompt?: (() => void) | undefined;
}

const SERVICE = { destination: SECRETS, path: SERVICE_PATH, interface: SERVICE_INTERFACE };
const ITEM_INTERFACE = 'org.freedesktop.Secret.Item';
const PROMPT_INTERFACE = 'org.freedesktop.Secret.Prompt';

/** Returns the state of the service and of one item, without a prompt. */
export function inspect(terms: Terms, item: ItemName): Promise<ServiceState | Refusal> {
  return converse(terms, (bus) => askState(bus, item));
}

/** The result of a look-up: the state, and the item's text if nothing else is needed to read it. */
export interface Looked {
  readonly state: ServiceState;
  readonly text?: string | undefined;
}

/**
 * Returns the state like {@link inspect} and, if exactly one item has that name and it is unlocked,
 * its text, over the same connection. No text if there are several items, a locked one, or one that
 * isn't text. Never prompts.
 */
export function look(terms: Terms, item: ItemName): Promise<Looked | Refusal> {
  return converse(terms, async (bus): Promise<Looked> => {
    const session = openSession(bus);
    session.catch(() => undefined); // plainText reports the error if the session is needed
    const state = await askState(bus, item);
    const [path, ...others] = state.open;
    if (path === undefined || others.length > 0 || state.shut.length > 0) return { state };
    return { state, text: await plainText(bus, path, session) };
  });
}

/** Checks, without a prompt, whether an item could be stored now. */
export async function probe(terms: Terms, item: ItemName): Promise<Answer> {
  const state = await inspect(terms, item);
  return 'outcome' in state ? state : probeAnswer(state);
}

/** Returns the text of an item. */
export function read(terms: Terms, item: ItemName): Promise<Found> {
  return converse(terms, async (bus): Promise<Found> => {
    const found = await openItem(bus, terms, item);
    if ('outcome' in found) return found;
    return { outcome: 'READY', text: (await secretOf(bus, found.path, await openSession(bus))).text };
  });
}

/**
 * Writes an item's text, replacing one with the same name, and reads it back: `READY` means that it
 * is stored.
 */
export function write(terms: Terms, item: ItemName, text: string): Promise<Answer> {
  return converse(terms, async (bus): Promise<Answer> => {
    const state = await askState(bus, item);
    const refusal = writeRefusal(state, terms.mayPrompt);
    if (refusal) return refusal;
    if (state.isLocked && !(await unlock(bus, terms, [state.collection as string]))) return DISMISSED;
    const session = await openSession(bus);
    const path = await create(bus, terms, state.collection as string, item, session.wrap(text));
    if (path === undefined) return DISMISSED;
    if ((await secretOf(bus, path, session)).text === text)
      return { outcome: 'READY', detail: 'stored in the keychain' };
    return { outcome: 'DECLINED', detail: 'the keychain accepted the key but does not return it' };
  });
}

/** Deletes an item. */
export function remove(terms: Terms, item: ItemName): Promise<Answer> {
  return converse(terms, async (bus): Promise<Answer> => {
    const found = await openItem(bus, terms, item);
    if ('outcome' in found) return found;
    const [prompt] = await bus.call({ destination: SECRETS, path: found.path, interface: ITEM_INTERFACE }, 'Delete');
    return (await isAllowed(bus, terms, prompt)) ? { outcome: 'READY', detail: 'deleted' } : DISMISSED;
  });
}

/** Returns the name of the Secret Service's provider; `Secret Service` if it is unknown. */
export async function providerName(terms: Terms): Promise<string> {
  const found = await converse(terms, async (bus) => {
    const [pid] = await bus.call(BUS, 'GetConnectionUnixProcessID', 's', SECRETS);
    return { pid: Number(pid) };
  });
  if ('outcome' in found) return 'Secret Service';
  try {
    const program = (await readFile(`/proc/${found.pid}/comm`, 'utf8')).trim();
    return PROVIDERS.find(([pattern]) => pattern.test(program))?.[1] ?? 'Secret Service';
  } catch {
    // The name is only informative: a service in another container, or one that has exited, has
    // none.
    return 'Secret Service';
  }
}

/** The kernel truncates program names to 15 characters. */
const PROVIDERS: readonly [RegExp, string][] = [
  [/^gnome-keyring/, 'gnome-keyring'],
  [/^(ksecretd|kwalletd)/, 'KWallet'],
  [/^keepassxc/, 'KeePassXC'],
];

/** Runs `talk` on a separate connection; any bus error becomes a refusal. */
async function converse<T>(terms: Terms, talk: (bus: Bus) => Promise<T>): Promise<T | Refusal> {
  try {
    using bus = await Bus.connect(terms.env, terms.silence);
    return await talk(bus);
  } catch (error) {
    return failureAnswer(asBusError(error));
  }
}

/** Finds the item and unlocks it if prompts are allowed. */
async function openItem(bus: Bus, terms: Terms, item: ItemName): Promise<{ path: string } | Refusal> {
  const state = await askState(bus, item);
  const refusal = readRefusal(state, terms.mayPrompt);
  if (refusal) return refusal;
  const [open] = state.open;
  if (open !== undefined) return { path: open };
  const locked = state.shut.length > 0 ? state.shut : [state.collection as string];
  if (!(await unlock(bus, terms, locked))) return DISMISSED;
  const [path] = (await askState(bus, item)).open;
  return path === undefined ? NOT_FOUND : { path };
}

async function unlock(bus: Bus, terms: Terms, objects: readonly string[]): Promise<boolean> {
  const [, prompt] = await bus.call(SERVICE, 'Unlock', 'ao', objects);
  return isAllowed(bus, terms, prompt);
}

async function isAllowed(bus: Bus, terms: Terms, prompt: unknown): Promise<boolean> {
  return prompt === NO_OBJECT || (await answered(bus, terms, objectPath(prompt))) !== undefined;
}

/**
 * Shows a prompt and returns its result, or undefined if it was dismissed. The service closes the
 * prompt when we disconnect.
 */
async function answered(bus: Bus, terms: Terms, prompt: string): Promise<Variant | undefined> {
  const { came } = await bus.subscribe(prompt, PROMPT_INTERFACE, 'Completed');
  terms.onPrompt?.();
  bus.allowSilence(terms.prompt);
  await bus.call({ destination: SECRETS, path: prompt, interface: PROMPT_INTERFACE }, 'Prompt', 's', '');
  const [dismissed, result] = await came.catch((error: unknown) => {
    throw asBusError(error).kind === 'late' ? new BusError('late', UNANSWERED.detail) : error;
  });
  bus.allowSilence(terms.silence);
  return dismissed === false ? (result as Variant) : undefined;
}

async function create(
  bus: Bus,
  terms: Terms,
  collection: string,
  item: ItemName,
  secret: Secret,
): Promise<string | undefined> {
  const target = { destination: SECRETS, path: collection, interface: COLLECTION_INTERFACE };
  const properties = [
    [`${ITEM_INTERFACE}.Label`, { signature: 's', value: `${item.service}/${item.account}` }],
    [`${ITEM_INTERFACE}.Attributes`, { signature: 'a{ss}', value: attributesOf(item) }],
  ];
  const [path, prompt] = await bus.call(target, 'CreateItem', 'a{sv}(oayays)b', properties, secret, true);
  const made = prompt === NO_OBJECT ? path : (await answered(bus, terms, objectPath(prompt)))?.value;
  return made === undefined || made === NO_OBJECT ? undefined : objectPath(made);
}

/**
 * Returns the text of an unlocked item; undefined if the service refuses it or it isn't text, which
 * keytar may explain.
 */
async function plainText(bus: Bus, path: string, session: Promise<SecretSession>): Promise<string | undefined> {
  try {
    const { text, contentType } = await secretOf(bus, path, await session);
    return /^text\/plain\b/.test(contentType) ? text : undefined;
  } catch (error) {
    // A timeout is final: waiting again would take too long.
    if (asBusError(error).kind === 'late') throw error;
    return undefined;
  }
}

async function secretOf(bus: Bus, path: string, session: SecretSession): Promise<ReturnType<SecretSession['unwrap']>> {
  const target = { destination: SECRETS, path, interface: ITEM_INTERFACE };
  const [secret] = await bus.call(target, 'GetSecret', 'o', session.path);
  return session.unwrap(secret);
}
