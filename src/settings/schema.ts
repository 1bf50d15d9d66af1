import { z } from 'zod';
import { nearest } from '../chat/models/nearest.ts';
import { providerSchema } from '../chat/models/provider-schema.ts';
import { parseRule, ruleForm } from '../chat/permissions.ts';
import {
  type Checks,
  isObject,
  type KeyName,
  keyNames,
  keyOf,
  priceParts,
  providerParts,
  type Settings,
} from './keys.ts';
import { looksLikeKey } from './secret.ts';

/**
 * Returns the faults of a settings file's content, one line each: the key, its value and its valid
 * values.
 */
export function findFaults(value: unknown): string[] {
  const result = schema.safeParse(value);
  if (!result.success) return result.error.issues.flatMap((issue) => describe(issue, value));
  return Object.entries(result.data.providers ?? {}).flatMap(([name, { apiKeyEnv }]) =>
    apiKeyEnv !== undefined && looksLikeKey(apiKeyEnv) ? [`providers.${name}.apiKeyEnv ${notAVariable}`] : [],
  );
}

/**
 * Returns the keys in a project's file that are allowed only in the user's own settings, unknown
 * keys included. {@link findFaults} finds the faults of the others.
 */
export function findForbidden(value: unknown): string[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, inside]) => {
    if (key !== 'permissions' || !isObject(inside)) return projectMaySet(key) || key === 'permissions' ? [] : [key];
    return Object.keys(inside).flatMap((part) => (projectMaySet(`${key}.${part}`) ? [] : [`${key}.${part}`]));
  });
}

/** The keys that a project's file may set. */
export const projectKeys: readonly KeyName[] = keyNames.filter((name) => keyOf(name).project !== undefined);

/** Parses the text of an environment variable as the value of a key; undefined if it is invalid. */
export function readValue(name: KeyName, text: string): { readonly value: unknown } | undefined {
  for (const value of readings(text)) {
    const result = checks[name].safeParse(value);
    if (result.success) return { value: result.data };
  }
  return undefined;
}

/** The top-level keys of a settings file. */
export const topKeys: readonly string[] = [...new Set(keyNames.map((name) => name.split('.')[0] ?? name))];

const rule: Checks['rule'] = z.string().refine((text) => parseRule(text) !== undefined);

const checks = Object.fromEntries(
  keyNames.map((name) => [name, keyOf(name).check({ z, provider: providerSchema, rule })]),
) as unknown as { readonly [Name in KeyName]: z.ZodType };

const schema = z.strictObject({
  ...Object.fromEntries(keyNames.filter(isOfTop).map((name) => [name, checks[name].optional()])),
  providers: (checks.providers as z.ZodType<Settings['providers']>).optional(),
  permissions: z
    .strictObject({ allow: checks['permissions.allow'].optional(), deny: checks['permissions.deny'].optional() })
    .optional(),
});

/**
 * The valid values of each key, in words; `*` stands for a user-defined name or an index of a list.
 */
const may: Readonly<Record<string, string>> = {
  '': 'an object of settings',
  ...Object.fromEntries(keyNames.map((name) => [name, keyOf(name).may])),
  'providers.*': `an object with ${Object.keys(providerParts).join(', ')}`,
  ...Object.fromEntries(Object.entries(providerParts).map(([part, words]) => [`providers.*.${part}`, words.may])),
  'providers.*.prices.*': `an object with ${Object.keys(priceParts).join(', ')}`,
  ...Object.fromEntries(Object.entries(priceParts).map(([part, words]) => [`providers.*.prices.*.${part}`, words.may])),
  permissions: 'an object with allow, deny',
  'permissions.allow.*': ruleForm,
  'permissions.deny.*': ruleForm,
};

const notAVariable = `is invalid; must be ${providerParts.apiKeyEnv.may}`;

function isOfTop(name: KeyName): boolean {
  return !name.includes('.');
}

function projectMaySet(key: string): boolean {
  return (projectKeys as readonly string[]).includes(key);
}

function* readings(text: string): Generator<unknown> {
  if (/^-?\d+(?:\.\d+)?$/.test(text)) yield Number(text);
  if (text === 'true' || text === '1') yield true;
  if (text === 'false' || text === '0') yield false;
  yield text;
}

function describe(issue: z.core.$ZodIssue, root: unknown): string[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => describeUnknown([...path, key]));
  if (issue.code === 'invalid_key')
    return [`${path.join('.')} is not a valid provider name; use letters, digits and . _ - only`];
  return [`${path.join('.') || 'the file'} ${present(path, root)}; must be ${may[pattern(path)] ?? 'something else'}`];
}

/** Returns the fault of an unknown key, with the key that may be meant. */
export function describeUnknown(path: readonly string[]): string {
  const name = path.map((part) => (looksLikeKey(part) ? '…' : part)).join('.');
  const known = siblings(path);
  const near =
    nearest(path.at(-1) ?? '', known) ?? known.find((key) => key.toLowerCase() === path.at(-1)?.toLowerCase());
  if (near !== undefined) return `${name} is unknown; did you mean ${[...path.slice(0, -1), near].join('.')}?`;
  return known.length > 5
    ? `${name} is unknown; coffer config list shows all settings`
    : `${name} is unknown; must be one of ${known.join(', ')}`;
}

function siblings(path: readonly string[]): readonly string[] {
  if (path.length === 1) return topKeys;
  if (path[0] === 'permissions') return ['allow', 'deny'];
  return Object.keys(path.length === 3 ? providerParts : priceParts);
}

/**
 * Describes the current value. A user may have put the API key itself where a variable's name
 * belongs, or a password into an address: those are not repeated.
 */
function present(path: readonly string[], root: unknown): string {
  if (path.at(-1) === 'apiKeyEnv') return 'is invalid';
  const value = path.reduce((at: unknown, key) => (at as Record<string, unknown>)[key], root);
  if (value === undefined) return 'is missing';
  return `is ${show(value)}`;
}

/** Formats a value for a message: only its beginning, and nothing that may be a secret. */
export function show(value: unknown): string {
  if (typeof value === 'string' && (looksLikeKey(value) || /^\w+:.*[@?#]/s.test(value))) return '(hidden)';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function pattern(path: readonly string[]): string {
  const isOwn = (at: number): boolean =>
    path[0] === 'providers' ? at === 1 || (at === 3 && path[2] === 'prices') : path[0] === 'permissions' && at === 2;
  return path.map((key, at) => (isOwn(at) ? '*' : key)).join('.');
}
