import { TextDecoder } from 'node:util';
import { CofferError } from '../errors.ts';
import { type Check, isInteger, isText, oneOf, optional, wrongField } from '../vault/fields.ts';
import type { Parent, Project, Status } from './event.ts';
import type { State } from './state.ts';

/** What a list needs of a session or snapshot; sealed in front of every frame's body. */
export interface Summary {
  readonly kind: 'session' | 'snapshot';
  /** `YYYY-MM-DD_HH-mm`, `_name`, `-2`. */
  readonly id: string;
  readonly uuid: string;
  readonly name?: string | undefined;
  readonly title?: string | undefined;
  /** Milliseconds since 1970. */
  readonly begun: number;
  readonly updated: number;
  readonly directory: string;
  readonly branch?: string | undefined;
  readonly worktree?: string | undefined;
  readonly project?: Project | undefined;
  readonly model: string;
  /** Messages of user and assistant. */
  readonly messages: number;
  /** Prompts answered to their end, and calls of tools; undefined where an earlier version wrote it. */
  readonly tasks?: number | undefined;
  readonly toolCalls?: number | undefined;
  /** True, or not there. */
  readonly pinned?: boolean | undefined;
  readonly archived?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars; null is "not known". */
  readonly cost: number | null;
  readonly status: Status;
  readonly parent?: Parent | undefined;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/** How many bytes of JSON a path or model name takes in a summary, which has to fit a frame's first chunk. */
const TEXT_LIMIT = 1024;

/** Derives a summary from a state. */
export function summarize(state: State, of: Pick<Summary, 'kind' | 'id' | 'uuid' | 'name'>): Summary {
  return {
    ...of,
    title: state.title,
    begun: state.begun,
    updated: state.updated,
    directory: clip(state.directory),
    branch: clip(state.branch),
    worktree: clip(state.worktree),
    project: state.project && { ...state.project, remote: clip(state.project.remote), path: clip(state.project.path) },
    model: clip(state.model),
    messages: state.messageCount,
    tasks: state.tasks,
    toolCalls: state.toolCalls,
    pinned: state.pinned || undefined,
    archived: state.archived || undefined,
    tags: state.tags.length === 0 ? undefined : state.tags,
    inputTokens: state.inputTokens,
    outputTokens: state.outputTokens,
    cost: state.cost,
    status: state.status,
    parent: state.parent,
    firstEvent: state.firstEvent,
    lastEvent: state.lastEvent,
  };
}

/** Writes a summary as the JSON that is sealed. */
export function encodeSummary(summary: Summary): Buffer {
  return Buffer.from(JSON.stringify(summary));
}

/** Reads a summary back. Throws `UNAUTHENTIC` where it is not one. */
export function decodeSummary(json: Uint8Array): Summary {
  const value = parse(json);
  const wrong = wrongField(value, summaryChecks);
  if (wrong === undefined) return value as Summary;
  throw unauthentic(new TypeError(`its ${wrong || 'form'} is something else`));
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw unauthentic(cause);
  }
}

function unauthentic(cause: unknown): CofferError {
  return new CofferError('UNAUTHENTIC', 'the summary is not one coffer writes', { cause });
}

function clip<T extends string | undefined>(text: T): T;
function clip(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  let clipped = text.slice(0, TEXT_LIMIT);
  while (Buffer.byteLength(JSON.stringify(clipped)) > TEXT_LIMIT) clipped = clipped.slice(0, -1);
  return clipped;
}

const isCount: Check = (value) => isInteger(value) && value >= 0;
const isAmount: Check = (value) => value === null || (Number.isFinite(value) && (value as number) >= 0);
const isParent: Check = (value) => wrongField(value, { uuid: isText, id: isText, reason: isText }) === undefined;

const isProject: Check = (value) =>
  wrongField(value, { first: optional(isText), remote: optional(isText), path: isText }) === undefined;
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isFlag: Check = (value) => typeof value === 'boolean';

const summaryChecks: Readonly<Record<keyof Summary, Check>> = {
  kind: oneOf('session', 'snapshot'),
  id: isText,
  uuid: isText,
  name: optional(isText),
  title: optional(isText),
  begun: isCount,
  updated: isCount,
  directory: isText,
  branch: optional(isText),
  worktree: optional(isText),
  project: optional(isProject),
  model: isText,
  messages: isCount,
  tasks: optional(isCount),
  toolCalls: optional(isCount),
  pinned: optional(isFlag),
  archived: optional(isFlag),
  tags: optional(isTexts),
  inputTokens: isAmount,
  outputTokens: isAmount,
  cost: isAmount,
  status: oneOf('running', 'completed', 'cancelled', 'failed'),
  parent: optional(isParent),
  firstEvent: isCount,
  lastEvent: isCount,
};
