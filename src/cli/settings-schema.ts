import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { providerSchema } from '../chat/providers.ts';

/** Finds what is wrong with the contents of a settings file: one line per fault, with the key, what it has and what it may be. */
export function findFaults(value: unknown): string[] {
  const result = schema.safeParse(value);
  return result.success ? [] : result.error.issues.flatMap((issue) => describe(issue, value));
}

const positive = z.int().min(1);

const schema = z.strictObject({
  model: z
    .string()
    .regex(/^[^/\s]+\/\S/)
    .optional(),
  providers: z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/), providerSchema).optional(),
  detectLocal: z.boolean().optional(),
  autoSave: z.boolean().optional(),
  saveInterval: z.int().min(1000).optional(),
  maxMessages: positive.optional(),
  maxSessions: positive.optional(),
  retentionDays: positive.optional(),
  directory: z.string().refine(isAbsolute).optional(),
});

/** What each key may be, in words; `*` stands for any provider's name. */
const may: Readonly<Record<string, string>> = {
  '': 'an object with settings',
  model: 'a model as provider/model',
  providers: 'an object of providers by name',
  'providers.*': 'an object with type, baseURL, apiKeyEnv, contextWindow',
  'providers.*.type': '"openai-compatible" or "anthropic"',
  'providers.*.baseURL': 'an http or https address without a user, a query or a fragment',
  'providers.*.apiKeyEnv': 'the name of an environment variable',
  'providers.*.contextWindow': 'a whole number of at least 1',
  detectLocal: 'true or false',
  autoSave: 'true or false',
  saveInterval: 'a whole number of at least 1000',
  maxMessages: 'a whole number of at least 1',
  maxSessions: 'a whole number of at least 1',
  retentionDays: 'a whole number of at least 1',
  directory: 'an absolute path',
};

function describe(issue: z.core.$ZodIssue, root: unknown): string[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key]));
  if (issue.code === 'invalid_key')
    return [`${path.join('.')} names a provider, may have letters, digits and . _ - only`];
  return [`${path.join('.') || 'the file'} ${present(path, root)}, may be ${may[pattern(path)] ?? 'something else'}`];
}

function unknownKey(path: readonly string[]): string {
  const known = path.length === 1 ? Object.keys(schema.shape) : ['type', 'baseURL', 'apiKeyEnv', 'contextWindow'];
  return `${path.join('.')} is unknown, may be ${known.join(', ')}`;
}

/** What stands there now. Where a name belongs, somebody may have put the API key itself: that is not repeated. */
function present(path: readonly string[], root: unknown): string {
  if (path.at(-1) === 'apiKeyEnv') return 'is something else';
  const value = path.reduce((at: unknown, key) => (at as Record<string, unknown>)[key], root);
  const text = JSON.stringify(value);
  return `is ${text.length > 60 ? `${text.slice(0, 59)}…` : text}`;
}

function pattern(path: readonly string[]): string {
  return path.map((key, at) => (at === 1 ? '*' : key)).join('.');
}
