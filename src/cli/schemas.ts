import { z } from 'zod';

/*
 * The shapes of what `--json` prints, for docs/cli.md and for tests: no command imports them, so that none waits for zod.
 */

const count = z.int().nonnegative();
const amount = z.number().nonnegative().nullable();
const time = z.iso.datetime();

/** What every command prints on stderr with `--json` when it fails. */
export const errorSchema: z.ZodType = z.strictObject({
  error: z.strictObject({
    code: z.string(),
    exit: count,
    message: z.string(),
    faults: z.array(z.string()).optional(),
  }),
});

/** What `coffer sessions --json` prints. */
export const sessionsSchema: z.ZodType = z.array(
  z.strictObject({
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
    model: z.string(),
    messages: count,
    inputTokens: count.nullable(),
    outputTokens: count.nullable(),
    cost: amount,
    status: z.enum(['running', 'completed', 'cancelled', 'failed', 'interrupted']),
    parent: z.strictObject({ uuid: z.string(), id: z.string(), reason: z.string() }).optional(),
    held: z.strictObject({ pid: count, since: count }).optional(),
    torn: z.string().optional(),
    rolledBack: z.string().optional(),
    unreadable: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  }),
);

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
  session: z.array(z.strictObject({ rule: z.string(), decision: z.enum(['allow', 'deny']) })),
  settings: z.strictObject({ allow: z.array(z.string()), deny: z.array(z.string()) }),
});
