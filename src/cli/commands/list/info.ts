import type { Instructions } from '../../../session/event/event.ts';
import type { Child, Info } from '../../../session/list/info.ts';
import type { Row } from '../../../session/list/row.ts';
import { describeBytes, describeCost, describeCount, describeTokens } from '../../../terminal/output/amounts.ts';
import { ago, clock } from '../../../terminal/output/rows.ts';
import { describePermission } from '../../../terminal/permission-words.ts';

/** Number of lines shown of a summary. */
const SUMMARY_LINES = 3;

/** Describes a session completely, one line per fact. Repeated labels are blank. */
export function infoLines(info: Info): string[] {
  const facts = [...identity(info), ...work(info), ...kept(info), ...place(info)];
  return facts.flatMap(([label, ...values]) =>
    values.map((value, at) => `${(at === 0 ? label : '').padEnd(12)}${value}`),
  );
}

/** A label and its values; omitted if it has no values. */
type Fact = [label: string, ...values: string[]];

function identity({ row, state }: Info): Fact[] {
  const { title, directory, branch, worktree, project } = state;
  const origin = [project?.first && `begun with commit ${project.first.slice(0, 12)}`, project?.remote].filter(isText);
  return [
    ['id', row === undefined ? 'none yet: nothing is saved' : describeId(row)],
    ['uuid', row?.uuid ?? state.uuid],
    ['kind', row?.kind ?? 'session'],
    ['name', ...some(row?.name ?? state.name)],
    ['title', ...some(title)],
    ['status', describeStatus(row, state.status, state.statusReason)],
    ['directory', directory],
    ['branch', ...some(branch)],
    ['worktree', ...some(worktree)],
    ['project', ...some(origin.join(', ') || undefined)],
    ['begun', describeTime(state.begun)],
    ['updated', describeTime(state.updated)],
  ];
}

function work({ state, models, total }: Info): Fact[] {
  return [
    ['model', state.model],
    ['system', ...state.instructions.map(describeInstructions)],
    ['messages', describeCount(state.messageCount)],
    ['tasks', describeCount(state.tasks)],
    ['tool calls', describeCount(state.toolCalls)],
    ['tokens', describeTokens(total)],
    ['cost', describeCost(total)],
    [
      'by model',
      ...models.map(({ model, used }) => `${model}: tokens ${describeTokens(used)}; cost ${describeCost(used)}`),
    ],
  ];
}

function kept({ row, state, parent, children }: Info): Fact[] {
  const { pinned, archived, tags, permissions, compaction } = state;
  const rules = permissions.map(
    (permission) => `${permission.decision} ${describePermission(permission, state.directory)}`,
  );
  const lines = compaction?.summary.trim().split('\n') ?? [];
  const more = lines.length > SUMMARY_LINES ? [`… ${lines.length - SUMMARY_LINES} more lines`] : [];
  const from =
    (row?.parent ?? state.parent) && `${(row?.parent ?? state.parent)?.id}: ${(row?.parent ?? state.parent)?.reason}`;
  return [
    ['parent', ...some(from && (parent === undefined ? `${from} (gone)` : `${from} (row ${parent.number})`))],
    ['children', ...children.map(describeChild)],
    ['pinned', ...some(pinned ? 'yes' : undefined)],
    ['archived', ...some(archived ? 'yes' : undefined)],
    ['tags', ...some(tags.map((tag) => `#${tag}`).join(' ') || undefined)],
    ['permissions', ...rules],
    [
      'summary',
      ...some(compaction && `of everything up to event ${compaction.through}:`),
      ...lines.slice(0, SUMMARY_LINES),
      ...more,
    ],
  ];
}

function place({ row, state, size }: Info): Fact[] {
  return [
    ['events', `${state.firstEvent} to ${state.lastEvent}`],
    ['file', ...some(row?.fileId)],
    ['on disk', ...some(size === undefined ? undefined : describeBytes(size))],
    ['damage', ...some(row?.torn), ...some(row?.rolledBack)],
  ];
}

function describeId({ id, label, number }: Row): string {
  return label === id ? `${id} (row ${number})` : `${id} (${label}, row ${number})`;
}

function describeStatus(row: Row | undefined, recorded: string, reason: string | undefined): string {
  const because = reason === undefined ? '' : `: ${reason}`;
  if (row?.status === 'interrupted') return 'interrupted: its process is gone; resuming continues from its last step';
  const status = `${row?.status ?? recorded}${because}`;
  const { held } = row ?? {};
  if (held === undefined) return row === undefined ? `${status}, process ${process.pid}` : status;
  if (held.pid === 0) return `${status}, held by another process`;
  return `${status}, process ${held.pid} since ${clock(new Date(held.since))}`;
}

/** `AGENTS.md of the directory (3.2 KB)`, `system prompt (120 bytes): You are…`. */
function describeInstructions({ source, text, path }: Instructions): string {
  const size = describeBytes(Buffer.byteLength(text));
  if (source === 'agents') {
    return text === '' ? 'without the AGENTS.md of the directory' : `AGENTS.md of the directory (${size})`;
  }
  if (text === '') return 'no system prompt';
  const [line = ''] = text.trim().split('\n', 1);
  return `system prompt (${path === undefined ? size : `${path}, ${size}`}): ${line.slice(0, 60)}${line.length > 60 ? '…' : ''}`;
}

function describeChild({ uuid, reason, row }: Child): string {
  return row === undefined ? `${uuid}: ${reason} (gone)` : `${row.id}: ${reason} (row ${row.number})`;
}

function describeTime(time: number): string {
  const at = new Date(time);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${clock(at)}, ${ago(time)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function some(value: string | undefined): string[] {
  return value === undefined ? [] : [value];
}

function isText(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}
