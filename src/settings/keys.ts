import { isAbsolute } from 'node:path';
import type { ZodType, z } from 'zod';
import type { Price, ProviderSettings } from '../chat/models/providers.ts';

/*
 * Everything there is to know of a setting stands in one row: its check, its default, and its words. The rows load nothing, so
 * that a start without a settings file needs no zod: a check is made from it when there is something to check.
 */

/** What the settings say. Times are milliseconds where their name does not say days. */
export interface Settings {
  /** `provider/model` for new chats. */
  readonly model?: string | undefined;
  /** Providers beside the built-in ones, or instead of one of the same name. */
  readonly providers: Readonly<Record<string, ProviderSettings>>;
  /** What models are told before a conversation; `@` and an absolute path for the content of a file. */
  readonly systemPrompt?: string | undefined;
  /** Whether the AGENTS.md of a directory is told to models: asked once for each directory, always or never. */
  readonly agentsFile: 'ask' | 'always' | 'never';
  readonly detectLocal: boolean;
  readonly autoSave: boolean;
  readonly saveInterval: number;
  readonly maxMessages: number;
  /** Retention by count and by age: off unless they are set. */
  readonly maxSessions?: number | undefined;
  readonly retentionDays?: number | undefined;
  /** Where the vault is; not always absolute where the environment or the command line says it. */
  readonly directory?: string | undefined;
  readonly autoResume: boolean;
  readonly localOnly: boolean;
  readonly maxTurns: number;
  readonly maxToolCalls: number;
  /** A share of the model's window; false switches it off. */
  readonly autoCompactAt: number | false;
  readonly keepMessages: number;
  readonly compactOnFinish: boolean;
  readonly requestTimeout: number;
  readonly tools: boolean;
  /** Rules as chat/permissions.ts reads them. */
  readonly permissions: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /** Where no sandbox can be had, `auto` runs a command without, and `required` does not run it. */
  readonly sandbox: 'auto' | 'required' | 'off';
  readonly commandTimeout: number;
  /** Bytes. */
  readonly maxToolOutput: number;
}

/** The keys that have a value of their own; `permissions` is two of them. */
export type KeyName = Exclude<keyof Settings, 'permissions'> | 'permissions.allow' | 'permissions.deny';

/** What a check is made of. */
export interface Checks {
  readonly z: typeof z;
  readonly provider: ZodType<ProviderSettings>;
  readonly rule: ZodType<string>;
}

/** One setting. */
export interface Key<Value = unknown> {
  readonly check: (checks: Checks) => ZodType<Value>;
  /** What holds where nothing is said; without it, nothing does. */
  readonly default?: Value;
  /** What it may be, as it ends the sentence "may be …". */
  readonly may: string;
  readonly about: string;
  /** Its environment variable, where that is not `COFFER_` and its name. */
  readonly env?: string;
  readonly flag?: string;
  /** How a project's own file may set it. */
  readonly project?: 'any value' | 'only lower' | 'only more';
}

type ValueOf<Name extends KeyName> = Name extends keyof Settings ? NonNullable<Settings[Name]> : readonly string[];

/** Every setting, in the order in which they are shown. */
export const settingsKeys: { readonly [Name in KeyName]: Key<ValueOf<Name>> } = {
  model: {
    check: ({ z }) => z.string().regex(/^[^/\s]+\/\S/),
    may: 'a model as provider/model',
    about: 'who answers in a new chat',
    flag: '--model',
    project: 'any value',
  },
  providers: {
    check: ({ z, provider }) => z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/), provider),
    default: {},
    may: 'an object of providers by name',
    about: 'providers beside the built-in ones, or instead of one of the same name',
  },
  systemPrompt: {
    check: ({ z }) => z.string().refine((text) => !/^@(?!~\/)/.test(text) || isAbsolute(text.slice(1))),
    may: 'a text, or @ and an absolute path, or one that begins with ~/',
    about: 'what models are told before a new conversation; `@/path` reads it from a file',
    flag: '--system',
  },
  agentsFile: {
    check: ({ z }) => z.enum(['ask', 'always', 'never']),
    default: 'ask',
    may: '"ask", "always" or "never"',
    about:
      'whether models are told the `AGENTS.md` of the directory: as you answer when it is offered there, or without asking',
  },
  detectLocal: flag(true, 'look for a model server on this machine when no model is chosen'),
  autoSave: flag(true, '`false`: nothing is saved by itself, `/save` works'),
  saveInterval: wholeNumber(30_000, 1000, 'milliseconds: while a reply streams, the part so far is saved this often'),
  maxMessages: {
    ...wholeNumber(1000, 1, 'how many of the newest messages are sent to the model; the record is never cut'),
    project: 'only lower',
  },
  maxSessions: wholeNumber(
    undefined,
    1,
    'how many sessions are kept; older ones are deleted unless pinned or named, `coffer prune --dry-run` shows which',
  ),
  retentionDays: wholeNumber(
    undefined,
    1,
    'how many days a session may be older than the newest one before it is deleted, unless pinned or named',
  ),
  directory: {
    check: ({ z }) => z.string().refine(isAbsolute),
    may: 'an absolute path',
    about: "where the vault is; the platform's own place unless set",
    env: 'COFFER_DATA_DIR',
    flag: '--data-dir',
  },
  autoResume: flag(false, 'start with the last session of the directory instead of a new one'),
  localOnly: flag(false, 'refuse models that are not on this machine'),
  maxTurns: wholeNumber(128, 1, 'how often a model is asked for one prompt at most: tools make it more than once'),
  maxToolCalls: wholeNumber(200, 1, 'how many tools one turn may call'),
  autoCompactAt: {
    check: ({ z }) => z.union([z.number().min(0.1).max(0.95), z.literal(false)]),
    default: 0.75,
    may: 'a number from 0.1 to 0.95, or false',
    about:
      'older messages are summarised for the model when this share of its window is used; `false`: never by itself',
  },
  keepMessages: wholeNumber(50, 1, 'how many of the newest messages a summary leaves as they are'),
  compactOnFinish: flag(false, 'summarise older messages when a chat ends'),
  requestTimeout: wholeNumber(
    600_000,
    1000,
    'milliseconds to wait for a provider to send anything; a model server on this machine is waited for without limit',
  ),
  tools: flag(true, '`false`: the model is offered no tools'),
  'permissions.allow': {
    check: ({ z, rule }) => z.array(rule),
    default: ['read'],
    may: 'a list of rules',
    about: 'what tools may do without asking',
  },
  'permissions.deny': {
    check: ({ z, rule }) => z.array(rule),
    default: [],
    may: 'a list of rules',
    about: 'what tools may never do',
    project: 'only more',
  },
  sandbox: {
    check: ({ z }) => z.enum(['auto', 'required', 'off']),
    default: 'auto',
    may: '"auto", "required" or "off"',
    about: 'whether commands run under bubblewrap: where it works; always, and not at all without it; never',
  },
  commandTimeout: wholeNumber(120_000, 1000, 'milliseconds after which a command that a tool runs is ended'),
  maxToolOutput: wholeNumber(10_485_760, 1024, 'bytes after which the output of a tool is cut off'),
};

/** The names of {@link settingsKeys}, in order. */
export const keyNames: readonly KeyName[] = Object.keys(settingsKeys) as KeyName[];

/** Tells whether a name is that of a setting. */
export function isKeyName(name: string): name is KeyName {
  return Object.hasOwn(settingsKeys, name);
}

/** What a key is about: the row of {@link settingsKeys}, whatever its value. */
export function keyOf(name: KeyName): Key {
  return settingsKeys[name] as Key;
}

/** The parts of a provider, in words; chat/providers.ts checks them. */
export const providerParts: { readonly [Name in keyof Required<ProviderSettings>]: Words } = {
  type: {
    may: '"openai-compatible", "anthropic" or "ollama"',
    about: 'the protocol it speaks; `openai-compatible` unless set, for the provider `ollama` its own',
  },
  baseURL: {
    may: 'an http or https address without a user, a query or a fragment',
    about: 'where its API begins, the version included',
  },
  apiKeyEnv: {
    may: 'the name of an environment variable',
    about: 'the variable that holds its key, never the key itself',
  },
  allowInsecure: {
    may: 'true or false',
    about: 'send the key over `http://` to another machine, where anyone on the way can read it; refused unless set',
  },
  contextWindow: {
    may: 'a whole number of at least 1',
    about: 'how many tokens its models take in one request; Ollama is asked for as many',
  },
  maxOutputTokens: {
    may: 'a whole number of at least 1',
    about: "most tokens of a reply, reasoning included; the provider's own limit unless set",
  },
  models: {
    may: 'an object by model, each with contextWindow or maxOutputTokens or both',
    about: 'what differs for single models',
  },
  prices: {
    may: 'an object of prices by model, each with input and output',
    about: 'what its models cost, in US dollars per million tokens',
  },
};

/** The parts of a price, in words. */
export const priceParts: { readonly [Name in keyof Price]: Words } = {
  input: { may: 'a number of at least 0', about: 'for a million tokens sent' },
  output: { may: 'a number of at least 0', about: 'for a million tokens answered' },
};

interface Words {
  readonly may: string;
  readonly about: string;
}

/** The environment variable of a key; undefined where it has none: a list or an object fits no variable. */
export function variableOf(name: KeyName): string | undefined {
  const key = keyOf(name);
  if (key.env !== undefined) return key.env;
  if (typeof key.default === 'object') return undefined;
  return `COFFER_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

/** What holds where nothing is said. */
export const defaultSettings: Settings = withValues(
  keyNames.flatMap((name) => {
    const value = keyOf(name).default;
    return value === undefined ? [] : [[name, value] as const];
  }),
);

/** Puts values by key together as settings. */
export function withValues(values: Iterable<readonly [KeyName, unknown]>): Settings {
  const settings: Record<string, unknown> = {};
  const permissions: Record<string, unknown> = {};
  for (const [name, value] of values) {
    if (name === 'permissions.allow' || name === 'permissions.deny') permissions[name.slice(12)] = value;
    else settings[name] = value;
  }
  return { ...settings, permissions } as unknown as Settings;
}

function flag(value: boolean, about: string): Key<boolean> {
  return { check: ({ z }) => z.boolean(), default: value, may: 'true or false', about };
}

function wholeNumber(value: number | undefined, least: number, about: string): Key<number> {
  const may = `a whole number of at least ${least}`;
  const row = { check: ({ z }: Checks) => z.int().min(least), may, about };
  return value === undefined ? row : { ...row, default: value };
}
