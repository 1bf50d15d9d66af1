import { nearest } from '../chat/models/nearest.ts';
import { CofferError } from '../errors.ts';
import { isKeyName, isObject, keyNames, priceParts, providerParts } from './keys.ts';
import { describeUnknown, topKeys } from './schema.ts';

/*
 * Dotted keys: `permissions.deny`, `providers.local.baseURL`,
 * `providers.local.prices.llama3.1.input`. The names of providers and models may contain dots, so
 * an existing key takes precedence over the other ways to split a dotted key.
 */

/** Returns the path of a dotted key in `value`; undefined if there is no such key. */
export function findKey(value: unknown, key: string): readonly string[] | undefined {
  if (!isObject(value)) return undefined;
  if (Object.hasOwn(value, key)) return [key];
  for (const [name, inside] of Object.entries(value)) {
    const rest = key.startsWith(`${name}.`) ? findKey(inside, key.slice(name.length + 1)) : undefined;
    if (rest !== undefined) return [name, ...rest];
  }
  return undefined;
}

/**
 * Splits a dotted key, which need not exist, into its path. Throws `USAGE` if no setting has that
 * name.
 */
export function splitKey(key: string): readonly string[] {
  if (isKeyName(key) || topKeys.includes(key)) return key.split('.');
  const [, provider, part, model, price] = providerKey.exec(key) ?? [];
  if (provider === undefined) throw unknownKey(key);
  const [, before, last = ''] = part === undefined ? (/^(.+)\.([^.]+)$/.exec(provider) ?? []) : [];
  // A provider's name may have a dot, but a misspelt part is more likely.
  if (before !== undefined && isMisspelt(last, Object.keys(providerParts)))
    throw new CofferError('USAGE', describeUnknown(['providers', before, last]));
  return ['providers', provider, part === undefined ? undefined : part.replace(/\..*$/s, ''), model, price].filter(
    (name) => name !== undefined,
  );
}

/** Creates the `USAGE` error for a key that isn't a setting. */
export function unknownKey(key: string): CofferError {
  const whole = keyNames.find((name) => key.startsWith(`${name}.`));
  if (whole === 'providers') {
    return new CofferError('USAGE', `${key} is unknown`, {
      advice: 'use providers.<name>, with letters, digits and . _ - only',
    });
  }
  if (whole !== undefined) {
    const rest = key.slice(whole.length + 1);
    return new CofferError('USAGE', `${whole} has no key ${rest}`, {
      advice: `set it as a whole; coffer config get ${whole} shows it`,
    });
  }
  return new CofferError('USAGE', describeUnknown(key.split('.').slice(0, key.startsWith('permissions.') ? 2 : 1)));
}

/** Returns the value at a path; undefined if there is none. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce((at: unknown, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined), value);
}

/**
 * Sets the value at a path, creating missing objects; new keys come last. Throws `USAGE` if
 * something on the path isn't an object.
 */
export function setAt(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = root;
  for (const name of path.slice(0, -1)) {
    if (!Object.hasOwn(at, name)) define(at, name, {});
    const inside = at[name];
    if (!isObject(inside))
      throw new CofferError('USAGE', `${name} in the settings is not an object`, {
        advice: `remove it with coffer config unset ${name}`,
      });
    at = inside;
  }
  define(at, path.at(-1) ?? '', value);
}

/** Removes the value at a path, and the objects on the path that become empty. */
export function removeAt(root: Record<string, unknown>, path: readonly string[]): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  const inside = root[name];
  if (rest.length > 0 && isObject(inside)) removeAt(inside, rest);
  if (rest.length === 0 || (isObject(inside) && Object.keys(inside).length === 0)) delete root[name];
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
