import { type Info, readInfo } from '../../../session/list/info.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';
import { infoLines } from './info.ts';
import { toJson } from './row-json.ts';

/** `coffer status` */
export const statusCommand: CommandSpec<[which: string], { json?: boolean }> = {
  name: 'status',
  description: 'show details of a session: its usage, and which process has it open',
  arguments: [{ syntax: '<which>', description: 'a list number, id, name, or last' }],
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer status last'],
  run,
};

/**
 * Prints everything known about a session. Throws `SESSION_NOT_FOUND`, `SESSION_AMBIGUOUS`,
 * `UNAUTHENTIC`, `NEWER_VERSION`, `KEY_*`.
 */
async function run(shell: Shell, [which]: [string], options: { json?: boolean }): Promise<void> {
  const { terminal } = shell;
  const { sessions, input } = await openSessions(shell);
  try {
    const row = await sessions.find(which);
    const info = await readInfo(sessions, row, await sessions.list());
    if (options.json === true) terminal.write(`${escapeJson(infoJson(info))}\n`);
    else for (const line of infoLines(info)) terminal.say(line);
  } finally {
    input.close();
  }
}

function infoJson({ row, state, models, total, children, size }: Info): object {
  const { statusReason, instructions, permissions, compaction, firstEvent, lastEvent } = state;
  return {
    ...(row && toJson(row)),
    statusReason,
    models: models.map(({ model, used }) => ({ model, ...used })),
    total,
    children: children.map(({ uuid, reason, row: child }) => ({ uuid, reason, id: child?.id ?? null })),
    instructions,
    permissions,
    summary: compaction,
    ...{ firstEvent, lastEvent, bytes: size ?? null },
  };
}
