import { isAbsolute } from 'node:path';
import type { ZodType, z } from 'zod';
import type { Price, ProviderSettings } from '../chat/models/providers.ts';

/*
 * Each setting is described in one row: its check, its default, and its texts. The rows load
 * nothing, so a start without a settings file doesn't need zod: a check is created when there is
 * something to check.
 */

/** All settings. Times are in milliseconds unless their name says days. */
export interface Settings {
  /** The model of new chats, as `provider/model`. */
  readonly model?: string | undefined;
  /** Providers in addition to the built-in ones, or overrides of one with the same name. */
  readonly providers: Readonly<Record<string, ProviderSettings>>;
  /** The system prompt; `@` and an absolute path for the content of a file. */
  readonly systemPrompt?: string | undefined;
  /** Whether models get the AGENTS.md of a directory: asked once per directory, always or never. */
  readonly agentsFile: 'ask' | 'always' | 'never';
  readonly detectLocal: boolean;
  readonly autoSave: boolean;
  readonly saveInterval: number;
  readonly maxMessages: number;
  /** Retention by count. Default: off. */
  readonly maxSessions?: number | undefined;
  /** Retention by age. Default: off. */
  readonly retentionDays?: number | undefined;
  /** The vault directory. May be relative if it comes from the environment or the command line. */
  readonly directory?: string | undefined;
  readonly autoResume: boolean;
  readonly localOnly: boolean;
  readonly maxTurns: number;
  readonly maxToolCalls: number;
  /**
   * The share of the model's context window at which older messages are compacted; false: never.
   */
  readonly autoCompactAt: number | false;
  readonly keepMessages: number;
  readonly compactOnFinish: boolean;
  readonly requestTimeout: number;
  readonly tools: boolean;
  /** Rules as parsed by chat/permissions.ts. */
  readonly permissions: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /**
   * If no sandbox is available, `auto` runs a command without one and `required` refuses to run it.
   */
  readonly sandbox: 'auto' | 'required' | 'off';
  readonly commandTimeout: number;
  /** The maximum length of a tool's output, in bytes. */
  readonly maxToolOutput: number;
}

/** The keys of single settings; `permissions` has two. */
export type KeyName = Exclude<keyof Settings, 'permissions'> | 'permissions.allow' | 'permissions.deny';

/** The building blocks of a check. */
export interface Checks {
  readonly z: typeof z;
  readonly provider: ZodType<ProviderSettings>;
  readonly rule: ZodType<string>;
}

/** One setting. */
export interface Key<Value = unknown> {
  /** Creates the schema of its values. */
  readonly check: (checks: Checks) => ZodType<Value>;
  /** Its default; if omitted, it has none. */
  readonly default?: Value;
  /** Its valid values, to complete the sentence "must be …". */
  readonly may: string;
  /** Its description, for docs/config.md. */
  readonly about: string;
  /** Its environment variable. Default: `COFFER_` and its name. */
  readonly env?: string;
  /** Its command line flag, if any. */
  readonly flag?: string;
  /** The way in which a project's file may set it. Default: not at all. */
  readonly project?: 'any value' | 'only lower' | 'only more';
}

type ValueOf<Name extends KeyName> = Name extends keyof Settings ? NonNullable<Settings[Name]> : readonly string[];

/** All settings, in the order in which they are shown. */
export const settingsKeys: { readonly [Name in KeyName]: Key<ValueOf<Name>> } = {
  model: {
    check: ({ z }) => z.string().regex(/^[^/\s]+\/\S/),
    may: 'a model as provider/model',
    about: 'model for new chats',
    flag: '--model',
    project: 'any value',
  },
  providers: {
    check: ({ z, provider }) => z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/), provider),
    default: {},
    may: 'an object of providers by name',
    about: 'additional providers, or overrides of built-in ones',
  },
  systemPrompt: {
    check: ({ z }) => z.string().refine((text) => !/^@(?!~\/)/.test(text) || isAbsolute(text.slice(1))),
    may: 'a text, or @ followed by an absolute path or a path that begins with ~/',
    about: 'system prompt of new conversations; `@/path` reads it from a file',
    flag: '--system',
  },
  agentsFile: {
    check: ({ z }) => z.enum(['ask', 'always', 'never']),
    default: 'ask',
    may: '"ask", "always" or "never"',
    about: 'whether to send the `AGENTS.md` of the directory to models: ask once in each directory, always, or never',
  },
  detectLocal: flag(true, 'look for a model server on this machine if no model is chosen'),
  autoSave: flag(true, '`false`: save only on `/save`'),
  saveInterval: integer(30_000, 1000, 'how often to save a reply while it streams, in milliseconds'),
  maxMessages: {
    ...integer(1000, 1, 'how many of the newest messages to send to the model; saved history is never cut'),
    project: 'only lower',
  },
  maxSessions: integer(
    undefined,
    1,
    'how many sessions to keep; older ones are deleted unless pinned or named (`coffer prune --dry-run` lists them)',
  ),
  retentionDays: integer(
    undefined,
    1,
    'delete sessions that are this many days older than the newest one, unless pinned or named',
  ),
  directory: {
    check: ({ z }) => z.string().refine(isAbsolute),
    may: 'an absolute path',
    about: "vault directory; default: the platform's data directory",
    env: 'COFFER_DATA_DIR',
    flag: '--data-dir',
  },
  autoResume: flag(false, 'resume the last session of the directory instead of starting a new one'),
  localOnly: flag(false, 'refuse models that are not on this machine'),
  maxTurns: integer(128, 1, 'maximum model requests per prompt; tool calls need more than one'),
  maxToolCalls: integer(200, 1, 'maximum tool calls per turn'),
  autoCompactAt: {
    check: ({ z }) => z.union([z.number().min(0.1).max(0.95), z.literal(false)]),
    default: 0.75,
    may: 'a number from 0.1 to 0.95, or false',
    about:
      'summarise older messages for the model when this share of its context window is used; `false`: never automatically',
  },
  keepMessages: integer(50, 1, 'how many of the newest messages a summary leaves unchanged'),
  compactOnFinish: flag(false, 'summarise older messages when a chat ends'),
  requestTimeout: integer(
    600_000,
    1000,
    'milliseconds to wait for a provider to send data; no limit for a model server on this machine',
  ),
  tools: flag(true, '`false`: offer the model no tools'),
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
    about: 'run commands under bubblewrap: `auto` if it works, `required` always (and refuse without it), `off` never',
  },
  commandTimeout: integer(120_000, 1000, "milliseconds after which a tool's command is stopped"),
  maxToolOutput: integer(10_485_760, 1024, "bytes after which a tool's output is truncated"),
};

/** The names of {@link settingsKeys}, in order. */
export const keyNames: readonly KeyName[] = Object.keys(settingsKeys) as KeyName[];

/** Returns whether a name is that of a setting. */
export function isKeyName(name: string): name is KeyName {
  return Object.hasOwn(settingsKeys, name);
}

/** Returns the row of a key in {@link settingsKeys}, whatever its type. */
export function keyOf(name: KeyName): Key {
  return settingsKeys[name] as Key;
}

/** The keys of a provider, with their texts; chat/providers.ts checks them. */
export const providerParts: { readonly [Name in keyof Required<ProviderSettings>]: Words } = {
  type: {
    may: '"openai-compatible", "anthropic" or "ollama"',
    about: 'its protocol; default: `openai-compatible`, for the provider `ollama` its own',
  },
  baseURL: {
    may: 'an http or https address without a user, a query or a fragment',
    about: 'base URL of its API, including the version',
  },
  apiKeyEnv: {
    may: 'the name of an environment variable',
    about: 'the environment variable that holds its API key, never the key itself',
  },
  allowInsecure: {
    may: 'true or false',
    about: 'send the key over `http://` to another machine, where anyone on the way can read it; default: refused',
  },
  contextWindow: {
    may: 'an integer of at least 1',
    about: 'context window of its models in tokens; also requested from Ollama',
  },
  maxOutputTokens: {
    may: 'an integer of at least 1',
    about: "maximum tokens of a reply, reasoning included; default: the provider's own limit",
  },
  models: {
    may: 'an object by model, each with contextWindow or maxOutputTokens or both',
    about: 'overrides for single models',
  },
  prices: {
    may: 'an object of prices by model, each with input and output',
    about: 'prices of its models, in US dollars per million tokens',
  },
};

/** The keys of a price, with their texts. */
export const priceParts: { readonly [Name in keyof Price]: Words } = {
  input: { may: 'a number of at least 0', about: 'price of a million input tokens' },
  output: { may: 'a number of at least 0', about: 'price of a million output tokens' },
};

interface Words {
  readonly may: string;
  readonly about: string;
}

/**
 * Returns the environment variable of a key; undefined if it has none, because a list or an object
 * doesn't fit into a variable.
 */
export function variableOf(name: KeyName): string | undefined {
  const key = keyOf(name);
  if (key.env !== undefined) return key.env;
  if (typeof key.default === 'object') return undefined;
  return `COFFER_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

/** The default settings. */
export const defaultSettings: Settings = withValues(
  keyNames.flatMap((name) => {
    const value = keyOf(name).default;
    return value === undefined ? [] : [[name, value] as const];
  }),
);

/** Combines values by key into settings. */
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

function integer(value: number | undefined, least: number, about: string): Key<number> {
  const may = `an integer of at least ${least}`;
  const row = { check: ({ z }: Checks) => z.int().min(least), may, about };
  return value === undefined ? row : { ...row, default: value };
}

/** Returns whether a JSON value is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
