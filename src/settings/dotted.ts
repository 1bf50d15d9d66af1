import { nearest } from '../chat/models/nearest.ts';
import { CofferError } from '../errors.ts';
import { isKeyName, keyNames, priceParts, providerParts } from './keys.ts';
import { describeUnknown, topKeys } from './schema.ts';

/*
 * A dotted key: `permissions.deny`, `providers.local.baseURL`, `providers.local.prices.llama3.1.input`. The names of providers and
 * models may have dots themselves, so what is there goes before what might be meant.
 */

/** Finds the way to a dotted key in what is there; undefined where it is not there. */
export function findKey(value: unknown, key: string): readonly string[] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (Object.hasOwn(value, key)) return [key];
  for (const [name, inside] of Object.entries(value)) {
    const rest = key.startsWith(`${name}.`) ? findKey(inside, key.slice(name.length + 1)) : undefined;
    if (rest !== undefined) return [name, ...rest];
  }
  return undefined;
}

/** The way to a key that may not be there yet. Throws `USAGE` where no setting has that name. */
export function splitKey(key: string): readonly string[] {
  if (isKeyName(key) || topKeys.includes(key)) return key.split('.');
  const [, provider, part, model, price] = providerKey.exec(key) ?? [];
  if (provider === undefined) throw unknownKey(key);
  const [, before, last = ''] = part === undefined ? (/^(.+)\.([^.]+)$/.exec(provider) ?? []) : [];
  // A provider's name may have a dot, but more likely its part is misspelt.
  if (before !== undefined && isMisspelt(last, Object.keys(providerParts)))
    throw new CofferError('USAGE', describeUnknown(['providers', before, last]));
  return ['providers', provider, part === undefined ? undefined : part.replace(/\..*$/s, ''), model, price].filter(
    (name) => name !== undefined,
  );
}

/** The error of a key that is no setting. */
export function unknownKey(key: string): CofferError {
  const whole = keyNames.find((name) => key.startsWith(`${name}.`));
  if (whole === 'providers') {
    return new CofferError('USAGE', `${key} is unknown`, {
      advice: 'write providers.<name>, with letters, digits and . _ - only',
    });
  }
  if (whole !== undefined) {
    const rest = key.slice(whole.length + 1);
    return new CofferError('USAGE', `${whole} is set as a whole, and has no ${rest}`, {
      advice: `coffer config get ${whole} shows it`,
    });
  }
  return new CofferError('USAGE', describeUnknown(key.split('.').slice(0, key.startsWith('permissions.') ? 2 : 1)));
}

/** What stands at the end of a way; undefined where nothing does. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce((at: unknown, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined), value);
}

/** Puts a value at the end of a way, with what is missing before it, and behind what is there. Throws `USAGE` where a value is in the way. */
export function setAt(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = root;
  for (const name of path.slice(0, -1)) {
    if (!Object.hasOwn(at, name)) define(at, name, {});
    const inside = at[name];
    if (!isObject(inside))
      throw new CofferError('USAGE', `${name} in the settings is no object`, { advice: `coffer config unset ${name}` });
    at = inside;
  }
  define(at, path.at(-1) ?? '', value);
}

/** Removes what stands at the end of a way, and the objects on it that are empty then. */
export function removeAt(root: Record<string, unknown>, path: readonly string[]): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  const inside = root[name];
  if (rest.length > 0 && isObject(inside)) removeAt(inside, rest);
  if (rest.length === 0 || (isObject(inside) && Object.keys(inside).length === 0)) delete root[name];
}

/** Tells whether a value of JSON is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const parts = Object.keys(providerParts)
  .filter((part) => part !== 'prices')
  .join('|');
const prices = Object.keys(priceParts).join('|');
const providerKey = new RegExp(
  `^providers\\.([A-Za-z0-9].*?)(?:\\.(${parts}|prices(?:\\.([^_\\s].*?)(?:\\.(${prices}))?)?))?$`,
  's',
);

function isMisspelt(word: string, names: readonly string[]): boolean {
  return nearest(word, names) !== undefined || names.some((name) => name.toLowerCase() === word.toLowerCase());
}

/** Assigning to `__proto__` would change more than the object. */
function define(object: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}
