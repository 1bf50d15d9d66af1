import { decodeSummary, type Summary } from '../../vault/list/summary.ts';
import type { State } from '../state.ts';

export { decodeSummary, type Summary };

/*
 * Maximum JSON bytes of each text in a summary, so that any summary fits into a frame's first chunk
 * (`MAX_SUMMARY`). Names, tags and ids that coffer assigns are shorter.
 */
const PATH_LIMIT = 1024;
const TEXT_LIMIT = 512;
const PARENT_LIMIT = 256;
const TAGS_LIMIT = 2800;

/** Maximum JSON bytes of one UTF-16 unit: `\u0000`. */
const LONGEST = 6;

/** Derives a summary from a state. Clips texts that are too long. */
export function summarize(state: State, of: Pick<Summary, 'kind' | 'id' | 'uuid' | 'name'>): Summary {
  const { project, parent } = state;
  return {
    ...of,
    uuid: clip(of.uuid, PARENT_LIMIT),
    name: clip(of.name, TEXT_LIMIT),
    title: state.title,
    begun: state.begun,
    updated: state.updated,
    directory: clip(state.directory, PATH_LIMIT),
    branch: clip(state.branch, TEXT_LIMIT),
    worktree: clip(state.worktree, PATH_LIMIT),
    project: project && {
      ...(project.first !== undefined && { first: clip(project.first, PARENT_LIMIT) }),
      remote: clip(project.remote, PATH_LIMIT),
      path: clip(project.path, PATH_LIMIT),
    },
    model: clip(state.model, TEXT_LIMIT),
    messages: state.messageCount,
    tasks: state.tasks,
    toolCalls: state.toolCalls,
    pinned: state.pinned || undefined,
    archived: state.archived || undefined,
    tags: state.tags.length === 0 ? undefined : firstTags(state.tags),
    agents: agentsOf(state),
    inputTokens: state.inputTokens,
    outputTokens: state.outputTokens,
    cost: state.cost,
    status: state.status,
    parent: parent && {
      uuid: clip(parent.uuid, PARENT_LIMIT),
      id: clip(parent.id, TEXT_LIMIT),
      reason: clip(parent.reason, PARENT_LIMIT),
    },
    firstEvent: state.firstEvent,
    lastEvent: state.lastEvent,
  };
}

/** Returns the user's answer when the directory's AGENTS.md was offered; undefined if it wasn't. */
function agentsOf({ instructions }: State): Summary['agents'] {
  const offered = instructions.find((one) => one.source === 'agents' && one.offered === true);
  return offered && (offered.text === '' ? 'declined' : 'used');
}

/** Encodes a summary as the JSON that is sealed. */
export function encodeSummary(summary: Summary): Buffer {
  return Buffer.from(JSON.stringify(summary));
}

/** Returns as many tags as fit, starting with the first. */
function firstTags(tags: readonly string[]): readonly string[] {
  // Each tag takes at least 3 bytes.
  const fitting = tags.slice(0, TAGS_LIMIT / 3).map((tag) => clip(tag, TEXT_LIMIT));
  while (jsonLength(fitting) > TAGS_LIMIT) fitting.pop();
  return fitting;
}

function clip<T extends string | undefined>(text: T, limit: number): T;
function clip(text: string | undefined, limit: number): string | undefined {
  if (text === undefined) return undefined;
  if (text.length * LONGEST <= limit) return text;
  let clipped = text.slice(0, limit);
  while (jsonLength(clipped) > limit) clipped = clipped.slice(0, -1);
  return clipped;
}

function jsonLength(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
