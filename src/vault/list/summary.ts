import { CofferError } from '../../errors.ts';
import { type Check, isInteger, isText, oneOf, optional, wrongField } from '../fields.ts';

/** The part of a session or snapshot that a list needs; sealed in front of every frame's body. */
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
  /** Number of messages of user and assistant. */
  readonly messages: number;
  /**
   * Number of prompts answered in full, and of tool calls; undefined if an earlier version wrote
   * the summary.
   */
  readonly tasks?: number | undefined;
  readonly toolCalls?: number | undefined;
  /** True or missing. */
  readonly pinned?: boolean | undefined;
  readonly archived?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  /** The user's answer when the AGENTS.md of the directory was offered; undefined if it was not. */
  readonly agents?: 'used' | 'declined' | undefined;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars; null if unknown. */
  readonly cost: number | null;
  /** State of the session. */
  readonly status: 'running' | 'completed' | 'cancelled' | 'failed';
  /** The conversation or snapshot that it continues. */
  readonly parent?: { uuid: string; id: string; reason: string } | undefined;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/**
 * Decodes a summary. An invalid field is dropped, or replaced by 0, '' or "unknown": an earlier
 * version may have counted wrong, which must not hide the session. Throws `UNAUTHENTIC` if the
 * summary doesn't say what it is and of which session.
 */
export function decodeSummary(json: Uint8Array): Summary {
  const value = parse(json);
  const wrong = wrongField(value, identity);
  if (wrong !== undefined) throw unauthentic(new TypeError(`its ${wrong || 'form'} is invalid`));
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
  return new CofferError('UNAUTHENTIC', 'the summary is not one that coffer writes', { cause });
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

/** Replacements for invalid required fields. */
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
