import { errorFields } from '../../../errors.ts';
import type { Row } from '../../../session/list/row.ts';

/** Returns a row as `--json` prints it. */
export function toJson(row: Row): object {
  const { number, label, autosave, kind, id, uuid, fileId, name, title } = row;
  const { directory, branch, worktree, project, model, messages, tasks, toolCalls } = row;
  const { inputTokens, outputTokens, cost, status, parent, held, torn, rolledBack, unreadable } = row;
  const { pinned = false, archived = false, tags = [] } = row;
  return {
    ...{ number, label, autosave, kind, id, uuid, fileId, name, title },
    begun: row.begun === 0 ? null : new Date(row.begun).toISOString(),
    updated: new Date(row.updated).toISOString(),
    ...{ directory, branch, worktree, project, model, messages, tasks, toolCalls },
    ...{ inputTokens, outputTokens, cost, status, pinned, archived, tags, parent, held, torn, rolledBack },
    unreadable: unreadable && errorFields(unreadable),
  };
}
