import { CofferError } from '../../errors.ts';
import { type Check, isInteger, isText, oneOf, optional, wrongField } from '../fields.ts';

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
  readonly project?: { first?: string | undefined; remote?: string | undefined; path: string } | undefined;
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
  /** What the user said when the AGENTS.md of the directory was offered; undefined if it was not. */
  readonly agents?: 'used' | 'declined' | undefined;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars; null is "not known". */
  readonly cost: number | null;
  /** How far the session has come. */
  readonly status: 'running' | 'completed' | 'cancelled' | 'failed';
  /** The conversation or snapshot it goes on from. */
  readonly parent?: { uuid: string; id: string; reason: string } | undefined;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/**
 * Reads a summary back. A field that is not what it must be is left out, or is 0, '' or "not known": an earlier version may have
 * counted wrong, and that must not hide the session. Throws `UNAUTHENTIC` for what says neither what it is nor of which session.
 */
export function decodeSummary(json: Uint8Array): Summary {
  const value = parse(json);
  const wrong = wrongField(value, identity);
  if (wrong !== undefined) throw unauthentic(new TypeError(`its ${wrong || 'form'} is something else`));
  const summary = value as Summary;
  if (wrongField(summary, summaryChecks) === undefined) return summary;
  const mended: Record<string, unknown> = { ...summary };
  for (const [name, check] of Object.entries(summaryChecks)) {
    if (!check(mended[name])) mended[name] = defaults[name as keyof Summary];
    if (mended[name] === undefined) delete mended[name];
  }
  return mended as unknown as Summary;
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

const isCount: Check = (value) => isInteger(value) && value >= 0;
/** Milliseconds since 1970 that a Date can hold (ECMA-262). */
const isTime: Check = (value) => isCount(value) && (value as number) <= 8_640_000_000_000_000;
const isAmount: Check = (value) => value === null || (Number.isFinite(value) && (value as number) >= 0);
const isParent: Check = (value) => wrongField(value, { uuid: isText, id: isText, reason: isText }) === undefined;

const isProject: Check = (value) =>
  wrongField(value, { first: optional(isText), remote: optional(isText), path: isText }) === undefined;
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isFlag: Check = (value) => typeof value === 'boolean';

/** The fields that a list can't do without. */
const identity = { kind: oneOf('session', 'snapshot'), id: isText, uuid: isText };

const summaryChecks: Readonly<Record<keyof Summary, Check>> = {
  ...identity,
  name: optional(isText),
  title: optional(isText),
  begun: isTime,
  updated: isTime,
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
  agents: optional(oneOf('used', 'declined')),
  inputTokens: isAmount,
  outputTokens: isAmount,
  cost: isAmount,
  status: oneOf('running', 'completed', 'cancelled', 'failed'),
  parent: optional(isParent),
  firstEvent: isCount,
  lastEvent: isCount,
};

/** What stands in place of a required field that is wrong. */
const defaults: Partial<Summary> = {
  begun: 0,
  updated: 0,
  directory: '',
  model: '',
  messages: 0,
  inputTokens: null,
  outputTokens: null,
  cost: null,
  status: 'failed',
  firstEvent: 0,
  lastEvent: 0,
};
