import type { Approval, Event, NewEvent, Status } from './event.ts';

/*
 * What the schema says of an event, by hand, without loading it. The schema stays the definition. Whatever is not plainly an
 * event here is for the schema to judge, so that this may be stricter, and never laxer; a property test holds the two against each other.
 */

/** Tells whether something that JSON gave is plainly an event; where it is not, only the schema can say. */
export function isPlainlyEvent(value: unknown): value is Event {
  if (!isObject(value) || !isCount(value['id']) || value['id'] === 0 || !isCount(value['ts'])) return false;
  const { type } = value;
  if (typeof type !== 'string') return false;
  return Object.hasOwn(checks, type) ? checks[type as NewEvent['type']](value) : true;
}

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: Fields) => boolean;

const isCall: Check = ({ toolCallId, toolName }) => isText(toolCallId) && isText(toolName);

const checks: Readonly<Record<NewEvent['type'], Check>> = {
  begin: ({ uuid, directory, branch, worktree, project, parent }) =>
    isUuid(uuid) &&
    isText(directory) &&
    isTextIfAny(branch) &&
    isTextIfAny(worktree) &&
    (project === undefined || isProject(project)) &&
    (parent === undefined || isParent(parent)),
  message: ({ message, model, partial }) =>
    isMessage(message) && isTextIfAny(model) && (partial === undefined || partial === true),
  usage: ({ model, usage }) => isText(model) && isUsage(usage),
  model: ({ model }) => isText(model),
  name: ({ name }) => isText(name),
  pin: ({ pinned }) => typeof pinned === 'boolean',
  archive: ({ archived }) => typeof archived === 'boolean',
  tags: ({ tags }) => isListOf(tags, isText),
  status: ({ status, reason }) => isOneOf(statuses, status) && isTextIfAny(reason),
  error: ({ code, message }) => isText(code) && isText(message),
  'tool-start': isCall,
  'tool-end': (value) => isCall(value) && isOneOf(outcomes, value['outcome']) && isCount(value['bytes']),
  'approval-asked': ({ toolCallId, rule, about }) => isText(toolCallId) && isText(rule) && isText(about),
  'approval-answered': ({ toolCallId, rule, answer, by }) =>
    isText(toolCallId) && isText(rule) && isOneOf(answers, answer) && isOneOf(sources, by),
  permission: ({ rule, decision }) => isText(rule) && isOneOf(decisions, decision),
  'context-warning': ({ tokens, window }) => isCount(tokens) && isCount(window),
  compaction: ({ summary, through, model }) => isText(summary) && isCount(through) && isText(model),
  rewind: ({ to }) => isCount(to),
  project: ({ project }) => isProject(project),
  child: ({ uuid, reason }) => isText(uuid) && isText(reason),
};

function isMessage(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { role, content } = value;
  switch (role) {
    case 'system':
      return isText(content);
    case 'user':
      return isText(content) || isListOf(content, isUserPart);
    case 'assistant':
      return isText(content) || isListOf(content, isAssistantPart);
    case 'tool':
      return isListOf(content, isResult);
    default:
      return false;
  }
}

function isUserPart(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { type, text, mediaType, data, filename } = value;
  if (type === 'text') return isText(text);
  return type === 'file' && isText(mediaType) && isText(data) && isTextIfAny(filename);
}

function isAssistantPart(value: unknown): boolean {
  if (!isObject(value)) return false;
  if (value['type'] === 'tool-call') return isCall(value);
  return value['type'] === 'reasoning' ? isText(value['text']) : isUserPart(value);
}

function isResult(value: unknown): boolean {
  return isObject(value) && value['type'] === 'tool-result' && isCall(value);
}

function isUsage(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { inputTokens, outputTokens, cost } = value;
  const isCost = cost === null || (typeof cost === 'number' && Number.isFinite(cost) && cost >= 0);
  return isCost && isCountOrNull(inputTokens) && isCountOrNull(outputTokens);
}

function isProject(value: unknown): boolean {
  return isObject(value) && isTextIfAny(value['first']) && isTextIfAny(value['remote']) && isText(value['path']);
}

function isParent(value: unknown): boolean {
  return isObject(value) && isText(value['uuid']) && isText(value['id']) && isText(value['reason']);
}

/** An object of JSON's. A field `__proto__`, which the schema leaves out, is for the schema to leave out. */
function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Object.hasOwn(value, '__proto__');
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTextIfAny(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCountOrNull(value: unknown): boolean {
  return value === null || isCount(value);
}

/** As `randomUUID` writes it. */
function isUuid(value: unknown): boolean {
  return isText(value) && /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(value);
}

function isOneOf(words: ReadonlySet<string>, value: unknown): boolean {
  return typeof value === 'string' && words.has(value);
}

const statuses: ReadonlySet<string> = new Set<Status>(['running', 'completed', 'cancelled', 'failed']);
const outcomes: ReadonlySet<string> = new Set(['completed', 'failed', 'denied', 'cancelled']);
const answers: ReadonlySet<string> = new Set<Approval>(['once', 'session', 'deny', 'always']);
const sources: ReadonlySet<string> = new Set(['person', 'rule', 'nobody']);
const decisions: ReadonlySet<string> = new Set(['allow', 'deny', 'revoke']);
