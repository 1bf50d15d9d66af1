import { changeText } from '../event/attachment.ts';

/*
 * Patterns for keys and tokens in a text. They must stay linear: a run of characters is bounded or
 * ends at a character outside its class, and no repetition is nested in another. They miss secrets
 * without a recognisable form (a password in a sentence) and encoded ones, except in attached text
 * files. They are an aid, not a guarantee.
 */

/** Replaces a secret. */
const REDACTED = '[redacted]';

/** A value without its secrets, and the number of secrets found by kind. */
export interface Redacted<T> {
  readonly value: T;
  readonly found: ReadonlyMap<string, number>;
}

/** Redacts keys and tokens in every string of a JSON value, including field names. */
export function redactSecrets<T>(value: T): Redacted<T> {
  const found = new Map<string, number>();
  const count = (kind: string): string => {
    found.set(kind, (found.get(kind) ?? 0) + 1);
    return REDACTED;
  };
  return { value: redactValue(value, count) as T, found };
}

/** Describes the secrets found: `2 API keys, 1 private key`. */
export function describeFound(found: ReadonlyMap<string, number>): string {
  const parts = [...found].map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`);
  return parts.length === 0 ? 'nothing that looks like a key or a token' : parts.join(', ');
}

/** Counts one secret of a kind and returns its replacement. */
type Take = (kind: string) => string;

function redactValue(value: unknown, take: Take): unknown {
  if (typeof value === 'string') return redactText(value, take);
  if (Array.isArray(value)) return value.map((each) => redactValue(each, take));
  if (typeof value !== 'object' || value === null) return value;
  const copy = new Map<string, unknown>();
  for (const [name, inside] of Object.entries(value)) {
    let key = redactText(name, take);
    while (copy.has(key)) key = `${key}'`;
    const isSecret = isSecretName(name) && typeof inside === 'string' && inside !== '' && !isPlaceholder(inside);
    const isFile = name === 'data' && 'mediaType' in value && typeof inside === 'string';
    const file = isFile ? changeText(inside, (text) => redactText(text, take)) : undefined;
    copy.set(key, isSecret ? take('assigned secret') : (file ?? redactValue(inside, take)));
  }
  return Object.fromEntries(copy);
}

function redactText(text: string, take: Take): string {
  return rules.reduce((rest, rule) => rest.replace(rule.pattern, (...found) => rule.replace(found, take)), text);
}

/** A pattern and its replacement. */
interface Rule {
  readonly pattern: RegExp;
  replace(found: readonly (string | undefined)[], take: Take): string;
}

/** Makes a rule whose whole match is the secret. */
function whole(kind: string, pattern: RegExp): Rule {
  return { pattern, replace: (_, take) => take(kind) };
}

/** Makes a rule whose second group is the secret; the rest of the match stays. */
function inside(kind: string, pattern: RegExp, isSecret: (secret: string) => boolean = () => true): Rule {
  return {
    pattern,
    replace([all = '', before = '', secret = ''], take) {
      if (!isSecret(secret) || isPlaceholder(secret)) return all;
      return `${before}${take(kind)}${all.slice(before.length + secret.length)}`;
    },
  };
}

const NAMES = 'password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential';

/** `api_key`, `clientSecret`, `TOKEN_2`; not `tokenizer`. */
const secretName: RegExp = new RegExp(`(?:${NAMES})(?:[_-]?(?:key|value|id|\\d{1,3}))?$`, 'i');

function isSecretName(name: string): boolean {
  return name.length <= 100 && secretName.test(name);
}

/** Tells whether a value is only a placeholder: `$TOKEN`, `<token>`, `***`, `process.env.TOKEN`. */
function isPlaceholder(value: string): boolean {
  return (
    /^(?:[$%<{]|process\.env|os\.environ|env\.|\[redacted\])/i.test(value) ||
    /^(?:[*.x]+|null|none|true|false)$/i.test(value)
  );
}

/**
 * An assignment to a name that ends in one of {@link NAMES}, or in which `_`, a digit or a capital
 * follows it.
 */
const assignment: Rule = {
  pattern: new RegExp(
    `(${NAMES})([\\w-]{0,24}["'\`\\]\\\\]{0,3}[ \\t]{0,8}(?:=>|:=|=|:)[ \\t]{0,8})(?:(\\\\?["'\`])([^"'\`\\\\\\n]{1,400})|([^\\s"'\`,;&(){}<>[\\]\\\\]{4,400})(?![(.[]))`,
    'gi',
  ),
  replace([all = '', name = '', between = '', quote = '', quoted, bare], take) {
    const rest = /^[A-Za-z]*/.exec(between)?.[0] ?? '';
    const isOtherWord = /^[a-z]/.test(rest) && rest !== 's' && name !== name.toUpperCase();
    const value = quoted ?? bare ?? '';
    const isAssigned = /=/.test(between) || /["'`]/.test(between);
    const isSecret =
      quoted === undefined ? looksRandom(value, isAssigned && /^pass|^pwd/i.test(name)) : isSecretText(value);
    if (isOtherWord || !isSecret || isPlaceholder(value)) return all;
    return `${name}${between}${quote}${take('assigned secret')}`;
  },
};

/** Tells whether a quoted value may be a secret: at least four characters, not a sentence. */
function isSecretText(value: string): boolean {
  return value.length >= 4 && !/\s\S*\s/.test(value);
}

/**
 * Tells whether an unquoted value may be a secret: at least six characters with both letters and
 * digits; any word if it is assigned to a password.
 */
function looksRandom(value: string, isPassword: boolean): boolean {
  if (isPassword) return true;
  return value.length >= 6 && /\d/.test(value) && /[A-Za-z]/.test(value);
}

/** Tells whether this is base64 of `name:password`, the credentials of the Basic scheme. */
function isBasic(credentials: string): boolean {
  return /^[\x20-\x7e]{1,100}:[\x20-\x7e]/.test(Buffer.from(credentials, 'base64').toString('latin1'));
}

function hasDigit(text: string): boolean {
  return /\d/.test(text);
}

/** Keys with a distinctive prefix, by kind. */
const prefixes: readonly (readonly [string, RegExp])[] = [
  ['API key', /(?<![\w-])(?:[sr]k_(?:live|test)_|gsk_|hf_|xai-|r8_|SG\.|whsec_)[A-Za-z0-9_.-]{16,300}/g],
  ['GitHub token', /(?<!\w)(?:gh[opsur]_[A-Za-z0-9]{16,300}|github_pat_[A-Za-z0-9_]{16,300})/g],
  ['GitLab token', /(?<![\w-])gl(?:pat|dt|rt)-[A-Za-z0-9_-]{16,300}/g],
  ['npm token', /(?<!\w)npm_[A-Za-z0-9]{30,300}/g],
  ['PyPI token', /(?<![\w-])pypi-[A-Za-z0-9_-]{30,300}/g],
  ['Google API key', /(?<![\w-])AIza[A-Za-z0-9_-]{30,60}/g],
  ['Google token', /(?<!\w)ya29\.[A-Za-z0-9_-]{20,500}/g],
  ['Slack token', /(?<!\w)xox[abeoprs]-[A-Za-z0-9-]{10,300}/g],
  ['Slack webhook', /https:\/\/hooks\.slack\.com\/services\/[A-Za-z0-9/]{10,200}/g],
];

const rules: readonly Rule[] = [
  whole(
    'private key',
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-(?!----)){0,20000}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\[nrt]){1,6}[A-Za-z0-9+/=]{16,200}){0,400})/g,
  ),
  whole('age key', /AGE-SECRET-KEY-1[A-Z0-9]{20,100}/g),
  inside('URL password', /([a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@"'<>]{0,100}:)([^\s/@"'<>]{1,200})@/gi),
  inside(
    'header credential',
    /(authorization["'\\]{0,3}[ \t]{0,4}[:=][ \t]{0,4}["'\\]{0,3}(?:bearer|basic|token)[ \t]{1,4})([^\s"',;\\]{1,4000})/gi,
  ),
  inside('header credential', /(?<!\w)(Basic[ \t]{1,4})([A-Za-z0-9+/]{6,400}={0,2})(?![\w=])/g, isBasic),
  // Must not start within a run of its own characters, or a long run is rescanned from each `eyJ`.
  whole('JSON web token', /(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{4,8000}\.[\w-]{0,2000}/g),
  inside('header credential', /(?<!\w)(Bearer[ \t]{1,4})([\w.~+/=-]{12,4000})/gi, hasDigit),
  inside('API key', /(?<![\w-])(sk-)([A-Za-z0-9_-]{16,300})/g, hasDigit),
  {
    pattern:
      /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])(?:([^\n]{0,60}?\n?[^\n]{0,60}?)(?<![\w/+])(?![0-9a-f]{40})[A-Za-z0-9/+]{40}(?![\w/+=]))?/g,
    replace([, between], take) {
      const id = take('AWS key');
      return between === undefined ? id : `${id}${between}${take('AWS key')}`;
    },
  },
  ...prefixes.map(([kind, pattern]) => whole(kind, pattern)),
  inside('assigned secret', new RegExp(`(<(?:${NAMES})>)([^<\\n]{1,400})</`, 'gi')),
  inside('assigned secret', /(\blogin\s{1,4}\S{1,100}\s{1,4}password\s{1,4})(\S{1,200})/g),
  inside(
    'assigned secret',
    new RegExp(`(--[a-z-]{0,30}(?:${NAMES})[ \\t]{1,4}["']?)([^\\s"'-][^\\s"']{3,200})`, 'gi'),
    hasDigit,
  ),
  assignment,
];
