import { z } from 'zod';

/*
 * The shapes of `--json` output, for docs/cli.md and for tests. No command imports them, so that
 * none waits for zod.
 */

const count = z.int().nonnegative();
const amount = z.number().nonnegative().nullable();
const time = z.iso.datetime();

const permission = z.strictObject({
  rule: z.string(),
  decision: z.enum(['allow', 'deny']),
  directory: z.string(),
  unsandboxed: z.boolean(),
});

const failure = {
  code: z.string(),
  message: z.string(),
  reason: z.string(),
  advice: z.string().optional(),
  holder: z.strictObject({ pid: count, since: count }).optional(),
  said: z.string().optional(),
};

/** The error that every command prints on stderr with `--json` when it fails. */
export const errorSchema: z.ZodType = z.strictObject({
  error: z.strictObject({ ...failure, exit: count, faults: z.array(z.string()).optional() }),
});

const row = {
  number: count,
  label: z.string(),
  autosave: z.boolean(),
  kind: z.enum(['session', 'snapshot']),
  id: z.string(),
  uuid: z.string(),
  fileId: z.string(),
  name: z.string().optional(),
  title: z.string().optional(),
  begun: time.nullable(),
  updated: time,
  directory: z.string(),
  branch: z.string().optional(),
  worktree: z.string().optional(),
  project: z.object({ first: z.string().optional(), remote: z.string().optional(), path: z.string() }).optional(),
  model: z.string(),
  messages: count,
  tasks: count.optional(),
  toolCalls: count.optional(),
  inputTokens: count.nullable(),
  outputTokens: count.nullable(),
  cost: amount,
  status: z.enum(['running', 'completed', 'cancelled', 'failed', 'interrupted']),
  pinned: z.boolean(),
  archived: z.boolean(),
  tags: z.array(z.string()),
  parent: z.strictObject({ uuid: z.string(), id: z.string(), reason: z.string() }).optional(),
  held: z.strictObject({ pid: count, since: count }).optional(),
  torn: z.string().optional(),
  rolledBack: z.string().optional(),
  unreadable: z.strictObject(failure).optional(),
};

/** The output of `coffer sessions --json`. */
export const sessionsSchema: z.ZodType = z.array(z.strictObject(row));

/**
 * The output of `coffer sessions --search TEXT --json`: each line that matched, cut around the
 * match; `event` is null for a name or tag.
 */
export const foundSchema: z.ZodType = z.array(
  z.strictObject({
    ...row,
    matches: z.array(z.strictObject({ event: count.nullable(), role: z.string(), text: z.string() })).nonempty(),
  }),
);

/**
 * Sums of the known amounts; null if none is known. `unknownTokens` and `unknownCost` count the
 * requests with incomplete figures.
 */
const used = {
  requests: count,
  inputTokens: count.nullable(),
  cachedTokens: count.nullable(),
  outputTokens: count.nullable(),
  cost: amount,
  unknownTokens: count,
  unknownCost: count,
};

/** The output of `coffer status <which> --json`. `id` of a child is null if it was deleted. */
export const statusSchema: z.ZodType = z.strictObject({
  ...row,
  statusReason: z.string().optional(),
  models: z.array(z.strictObject({ model: z.string(), ...used })),
  total: z.strictObject(used),
  children: z.array(z.strictObject({ uuid: z.string(), reason: z.string(), id: z.string().nullable() })),
  instructions: z.array(
    z.strictObject({
      source: z.enum(['system', 'agents']),
      text: z.string(),
      path: z.string().optional(),
      offered: z.literal(true).optional(),
    }),
  ),
  permissions: z.array(permission),
  summary: z.strictObject({ summary: z.string(), through: count }).optional(),
  firstEvent: count,
  lastEvent: count,
  bytes: count.nullable(),
});

/** The output of `coffer stats --json`; `days` are dates in the local time zone. */
export const statsSchema: z.ZodType = z.strictObject({
  sessions: count,
  snapshots: count,
  unreadable: count,
  messages: count,
  tasks: count,
  toolCalls: count,
  total: z.strictObject(used),
  models: z.array(z.strictObject({ model: z.string(), ...used })),
  days: z.array(z.strictObject({ date: z.iso.date(), messages: count, ...used })),
  files: count,
  bytes: count,
});

/**
 * One line of `coffer logs <which> --json`: an event as recorded; docs/format.md lists the types.
 */
export const eventSchema: z.ZodType = z.looseObject({ id: z.int().positive(), ts: count, type: z.string() });

/**
 * One setting and its source. `value` is null if it isn't set; `permissions` as a whole has no
 * `source`.
 */
interface Setting {
  key: string;
  value: unknown;
  source?: 'flag' | 'environment' | 'project' | 'file' | 'default' | undefined;
  from?: string | undefined;
}

/** The output of `coffer config get --json`. */
export const configValueSchema: z.ZodType<Setting> = z.strictObject({
  key: z.string(),
  value: z.unknown(),
  source: z.enum(['flag', 'environment', 'project', 'file', 'default']).optional(),
  from: z.string().optional(),
});

/** The output of `coffer config list --json`. */
export const configSchema: z.ZodType<Setting[]> = z.array(configValueSchema);

/**
 * The output of `coffer prune --json`: the deleted sessions, oldest first; with `--dry-run`, those
 * that would be deleted.
 */
export const pruneSchema: z.ZodType = z.array(
  z.strictObject({
    id: z.string(),
    uuid: z.string(),
    fileId: z.string(),
    kind: z.enum(['session', 'snapshot']),
    title: z.string().optional(),
    messages: count,
    updated: time,
    reason: z.string(),
  }),
);

/** The output of `coffer fork --json`: the fork, how many prompts it has, and of how many. */
export const forkSchema: z.ZodType = z.strictObject({
  id: z.string(),
  uuid: z.uuid(),
  fileId: z.string(),
  parent: z.strictObject({ uuid: z.uuid(), id: z.string() }),
  prompts: count,
  of: count,
});

/** The output of `coffer permissions --json`. */
export const permissionsSchema: z.ZodType = z.strictObject({
  session: z.array(permission),
  settings: z.strictObject({ allow: z.array(z.string()), deny: z.array(z.string()) }),
});

/**
 * The output of `coffer export <which> --format json`. `coffer export <which> --format jsonl`
 * prints the same without `events` as its first line, preceded by `coffer: 1` and `type:
 * "session"`, then one event per line.
 */
export const exportSchema: z.ZodType = z.strictObject({
  id: z.string().optional(),
  uuid: z.string(),
  kind: z.enum(['session', 'snapshot']),
  name: z.string().optional(),
  title: z.string().optional(),
  tags: z.array(z.string()).optional(),
  begun: time,
  updated: time,
  directory: z.string(),
  branch: z.string().optional(),
  model: z.string(),
  messages: count,
  inputTokens: count.nullable(),
  outputTokens: count.nullable(),
  cost: amount,
  parent: z.strictObject({ uuid: z.string(), id: z.string(), reason: z.string() }).optional(),
  events: z.array(eventSchema),
});

/**
 * The output of `coffer import <file> --json`: `revoked` are the allow rules that were not
 * imported, `broken` the files in messages that can't be sent to any model.
 */
export const importSchema: z.ZodType = z.strictObject({
  id: z.string(),
  uuid: z.string(),
  messages: count,
  events: count,
  revoked: z.array(z.string()),
  broken: z.array(z.strictObject({ message: count, name: z.string(), reason: z.string() })),
});

/** The output of `coffer models --json`. */
export const modelsSchema: z.ZodType = z.array(
  z.strictObject({
    provider: z.string(),
    baseURL: z.string().optional(),
    isLocal: z.boolean(),
    key: z.strictObject({ variable: z.string(), isSet: z.boolean() }).optional(),
    models: z.array(z.string()),
    answers: z.boolean().optional(),
  }),
);

const checkedWith = (...words: readonly [string, ...string[]]): z.ZodType =>
  z.union([z.enum(words), z.strictObject(failure)]);

/** The output of `coffer models --check <name> --json`: what the model can do, or why it can't. */
export const checkedSchema: z.ZodType = z.strictObject({
  model: z.string(),
  streaming: z.boolean(),
  reasoning: z.boolean(),
  contextWindow: count,
  tools: checkedWith('called', 'unused'),
  images: checkedWith('seen', 'accepted'),
});

/**
 * The output of `coffer key list --json`: where the key is kept, the key that an unfinished
 * rotation replaces, and the key slots.
 */
export const waysSchema: z.ZodType = z.strictObject({
  key: z.string(),
  retiring: z.string().optional(),
  backend: z.string(),
  provider: z.string(),
  slots: z.array(z.strictObject({ id: z.string(), kind: z.enum(['passphrase', 'recovery']) })),
});

/**
 * The output of `coffer doctor --json`: `report` has the lines it prints without `--json`, `error`
 * the first problem.
 */
export const doctorSchema: z.ZodType = z.strictObject({
  directory: z.string(),
  well: z.boolean(),
  error: z.strictObject(failure).optional(),
  report: z.array(z.string()),
});

/** The output of `coffer config path --json`. */
export const configPathSchema: z.ZodType = z.strictObject({ path: z.string() });
