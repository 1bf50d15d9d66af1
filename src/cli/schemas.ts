import { z } from 'zod';

/*
 * The shapes of what `--json` prints, for docs/cli.md and for tests: no command imports them, so that none waits for zod.
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

/** What every command prints on stderr with `--json` when it fails. */
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

/** What `coffer sessions --json` prints. */
export const sessionsSchema: z.ZodType = z.array(z.strictObject(row));

/** What `coffer sessions --search TEXT --json` prints: each line that matched, cut around the match; `event` is null for a name or tag. */
export const foundSchema: z.ZodType = z.array(
  z.strictObject({
    ...row,
    matches: z.array(z.strictObject({ event: count.nullable(), role: z.string(), text: z.string() })).nonempty(),
  }),
);

/** Sums of what is known; null where nothing is. Of `unknownTokens` and `unknownCost` requests they leave something out. */
const used = {
  requests: count,
  inputTokens: count.nullable(),
  cachedTokens: count.nullable(),
  outputTokens: count.nullable(),
  cost: amount,
  unknownTokens: count,
  unknownCost: count,
};

/** What `coffer status <which> --json` prints. `id` of a child is null where it is gone. */
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

/** What `coffer stats --json` prints; `days` are dates of this machine's time zone. */
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

/** What `coffer logs <which> --json` prints in each line: an event as it is recorded; docs/format.md has their types. */
export const eventSchema: z.ZodType = z.looseObject({ id: z.int().positive(), ts: count, type: z.string() });

/** One setting, and what says it. `value` is null where nothing is set; `permissions` as a whole has no `source`. */
interface Setting {
  key: string;
  value: unknown;
  source?: 'flag' | 'environment' | 'project' | 'file' | 'default' | undefined;
  from?: string | undefined;
}

/** What `coffer config get --json` prints. */
export const configValueSchema: z.ZodType<Setting> = z.strictObject({
  key: z.string(),
  value: z.unknown(),
  source: z.enum(['flag', 'environment', 'project', 'file', 'default']).optional(),
  from: z.string().optional(),
});

/** What `coffer config list --json` prints. */
export const configSchema: z.ZodType<Setting[]> = z.array(configValueSchema);

/** What `coffer prune --json` prints: what is deleted, oldest first, or with `--dry-run` would be. */
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

/** What `coffer fork --json` prints: the fork, and how many of how many prompts it has. */
export const forkSchema: z.ZodType = z.strictObject({
  id: z.string(),
  uuid: z.uuid(),
  fileId: z.string(),
  parent: z.strictObject({ uuid: z.uuid(), id: z.string() }),
  prompts: count,
  of: count,
});

/** What `coffer permissions --json` prints. */
export const permissionsSchema: z.ZodType = z.strictObject({
  session: z.array(permission),
  settings: z.strictObject({ allow: z.array(z.string()), deny: z.array(z.string()) }),
});

/**
 * What `coffer export <which> --format json` prints; `coffer export <which> --format jsonl` prints the same without `events`, with
 * `coffer: 1` and `type: "session"` before it, in its first line, and each event in a line of its own.
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
 * What `coffer import <file> --json` prints; `revoked` are the rules by which tools were allowed something where it came from, `broken` the
 * files in its messages that no model can be sent.
 */
export const importSchema: z.ZodType = z.strictObject({
  id: z.string(),
  uuid: z.string(),
  messages: count,
  events: count,
  revoked: z.array(z.string()),
  broken: z.array(z.strictObject({ message: count, name: z.string(), reason: z.string() })),
});

/** What `coffer models --json` prints. */
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

/** What `coffer models --check <name> --json` prints: what the model was seen to do, or why it does not. */
export const checkedSchema: z.ZodType = z.strictObject({
  model: z.string(),
  streaming: z.boolean(),
  reasoning: z.boolean(),
  contextWindow: count,
  tools: checkedWith('called', 'unused'),
  images: checkedWith('seen', 'accepted'),
});

/** What `coffer key list --json` prints: where the key is, the one that an unfinished rotation replaces, and what else opens the vault. */
export const waysSchema: z.ZodType = z.strictObject({
  key: z.string(),
  retiring: z.string().optional(),
  backend: z.string(),
  provider: z.string(),
  slots: z.array(z.strictObject({ id: z.string(), kind: z.enum(['passphrase', 'recovery']) })),
});

/** What `coffer doctor --json` prints: `report` is what it shows without, line by line, and `error` the first problem. */
export const doctorSchema: z.ZodType = z.strictObject({
  directory: z.string(),
  well: z.boolean(),
  error: z.strictObject(failure).optional(),
  report: z.array(z.string()),
});

/** What `coffer config path --json` prints. */
export const configPathSchema: z.ZodType = z.strictObject({ path: z.string() });
