import { zstdDecompressSync } from 'node:zlib';
import { paddingOf } from './malicious.ts';

/*
 * A second, slow implementation of docs/format.md, to judge whether coffer handled an input
 * correctly. It uses nothing from src.
 */

/** The content of a frame's plaintext. */
export interface Reading {
  readonly summary: Buffer;
  readonly lines: readonly Buffer[];
}

/** Reads the plaintext of a frame; undefined if a reader must refuse it. */
export function readPlain(plain: Buffer, floor: number): Reading | undefined {
  if (plain.length < 12) return undefined;
  const summaryLength = plain.readUInt32BE(0);
  if (summaryLength > 12_288 || summaryLength > plain.length - 12) return undefined;
  const start = 12 + summaryLength;
  const bodyLength = plain.readBigUInt64BE(start - 8);
  if (bodyLength > BigInt(plain.length - start)) return undefined;
  const end = start + Number(bodyLength);
  const padding = plain.subarray(end);
  if (padding.length !== paddingOf(end, floor) || padding.some((byte) => byte !== 0)) return undefined;
  const lines = readBody(plain.subarray(start, end));
  return lines && { summary: plain.subarray(4, 4 + summaryLength), lines };
}

function readBody(body: Buffer): Buffer[] | undefined {
  const all: Buffer[] = [];
  for (let rest = body; rest.length > 0; ) {
    if (rest.length < 9) return undefined;
    const [codec, stored, plain] = [rest[0], rest.readUInt32BE(1), rest.readUInt32BE(5)];
    if (stored > rest.length - 9) return undefined;
    const lines = readSegment(codec ?? 255, rest.subarray(9, 9 + stored), plain);
    if (!lines) return undefined;
    all.push(lines);
    rest = rest.subarray(9 + stored);
  }
  return all;
}

/** Returns the lines of a segment; undefined if a reader must refuse it. */
export function readSegment(codec: number, stored: Buffer, plainLength: number): Buffer | undefined {
  if (plainLength > 2 ** 29) return undefined;
  if (codec === 0) return stored.length === plainLength ? stored : undefined;
  if (codec !== 1 || stored.length < 4 || stored.readUInt32LE(0) !== 0xfd2fb528) return undefined;
  const name = `${plainLength} ${stored.toString('latin1')}`;
  const lines = frames.has(name) ? frames.get(name) : readFrame(stored, plainLength);
  if (frames.size > 500) frames.clear();
  frames.set(name, lines);
  return lines;
}

/** Cache of earlier results: most inputs leave the zstd in them unchanged. */
const frames = new Map<string, Buffer | undefined>();

/** The empty frame that Node leaves after some frames: docs/format.md. */
const LEFT_BEHIND = Buffer.from('28b52ffd2000010000', 'hex');

/**
 * Decompresses one zstd frame followed only by what Node leaves there: with anything cut off, it
 * must not decompress any more.
 */
function readFrame(sealed: Buffer, plainLength: number): Buffer | undefined {
  const end = sealed.length - LEFT_BEHIND.length;
  const stored = end > 0 && sealed.subarray(end).equals(LEFT_BEHIND) ? sealed.subarray(0, end) : sealed;
  const lines = decompressed(stored, plainLength);
  if (lines?.length !== plainLength) return undefined;
  for (let length = stored.length - 1; length > 4; length--) {
    if (decompressed(stored.subarray(0, length), plainLength)) return undefined;
  }
  return lines;
}

function decompressed(stored: Buffer, most: number): Buffer | undefined {
  try {
    return zstdDecompressSync(stored, { maxOutputLength: Math.max(1, most) });
  } catch {
    return undefined; // this is the answer: it does not decompress
  }
}

type Test = (value: unknown) => boolean;

const text: Test = (value) => typeof value === 'string';
const count: Test = (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 2 ** 53 - 1;
/** Milliseconds since 1970 that a Date of ECMA-262 can represent. */
const time: Test = (value) => count(value) && Number(value) <= 8_640_000_000_000_000;
const amount: Test = (value) =>
  value === null || (typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY);
const missingOr =
  (test: Test): Test =>
  (value) =>
    value === undefined || test(value);
const one =
  (...values: readonly unknown[]): Test =>
  (value) =>
    values.some((allowed) => allowed === value);
const list =
  (test: Test): Test =>
  (value) =>
    Array.isArray(value) && value.every(test);

/** Returns the test of an object by its required fields; it may have others. */
function fields(tests: Readonly<Record<string, Test>>): Test {
  return (value) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return false;
    return Object.entries(tests).every(([name, test]) =>
      test(Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined),
    );
  };
}

const parent = fields({ uuid: text, id: text, reason: text });
const project = fields({ first: missingOr(text), remote: missingOr(text), path: text });
const status = one('running', 'completed', 'cancelled', 'failed');
const flag = one(true, false);

/**
 * Returns whether a value says of which file it is the summary. Other wrong fields are read as
 * missing or unknown.
 */
export const isNamed: Test = fields({ kind: one('session', 'snapshot'), id: text, uuid: text });

/** Returns whether a value is a summary. */
export const isSummary: Test = fields({
  kind: one('session', 'snapshot'),
  id: text,
  uuid: text,
  name: missingOr(text),
  title: missingOr(text),
  begun: time,
  updated: time,
  directory: text,
  branch: missingOr(text),
  worktree: missingOr(text),
  project: missingOr(project),
  model: text,
  messages: count,
  tasks: missingOr(count),
  toolCalls: missingOr(count),
  pinned: missingOr(flag),
  archived: missingOr(flag),
  tags: missingOr(list(text)),
  agents: missingOr(one('used', 'declined')),
  inputTokens: amount,
  outputTokens: amount,
  cost: amount,
  status,
  parent: missingOr(parent),
  firstEvent: count,
  lastEvent: count,
});

const place = {
  id: (value: unknown): boolean => count(value) && value !== 0 && Number(value) <= 2 ** 52,
  ts: time,
  type: text,
};
const textPart = fields({ type: one('text'), text });
const reasoning = fields({ type: one('reasoning'), text });
const file = fields({ type: one('file'), mediaType: text, data: text, filename: missingOr(text) });
const call = fields({ type: one('tool-call'), toolCallId: text, toolName: text });
const result = fields({ type: one('tool-result'), toolCallId: text, toolName: text });
const parts = (...some: readonly Test[]): Test => list((value) => some.some((test) => test(value)));
const tokens: Test = (value) => value === null || count(value);

const message: Test = (value) =>
  [
    fields({ role: one('system'), content: text }),
    fields({ role: one('user'), content: (content) => text(content) || parts(textPart, file)(content) }),
    fields({
      role: one('assistant'),
      content: (content) => text(content) || parts(textPart, reasoning, file, call)(content),
    }),
    fields({ role: one('tool'), content: parts(result) }),
  ].some((test) => test(value));

const toolCall = { toolCallId: text, toolName: text };

const eventTypes: ReadonlyMap<unknown, Test> = new Map([
  [
    'begin',
    fields({
      uuid: text,
      directory: text,
      branch: missingOr(text),
      worktree: missingOr(text),
      project: missingOr(project),
      parent: missingOr(parent),
    }),
  ],
  ['message', fields({ message, model: missingOr(text), partial: missingOr(one(true)) })],
  ['usage', fields({ model: text, usage: fields({ inputTokens: tokens, outputTokens: tokens, cost: amount }) })],
  ['model', fields({ model: text })],
  ['name', fields({ name: text })],
  ['pin', fields({ pinned: flag })],
  ['archive', fields({ archived: flag })],
  ['tags', fields({ tags: list(text) })],
  ['status', fields({ status, reason: missingOr(text) })],
  ['error', fields({ code: text, message: text })],
  ['tool-start', fields(toolCall)],
  ['tool-end', fields({ ...toolCall, outcome: one('completed', 'failed', 'denied', 'cancelled'), bytes: count })],
  ['approval-asked', fields({ toolCallId: text, rule: text, about: text })],
  [
    'approval-answered',
    fields({
      toolCallId: text,
      rule: text,
      answer: one('once', 'session', 'deny', 'always'),
      by: one('person', 'rule', 'nobody'),
    }),
  ],
  [
    'permission',
    fields({
      rule: text,
      decision: one('allow', 'deny', 'revoke'),
      directory: missingOr(text),
      unsandboxed: missingOr(one(true)),
    }),
  ],
  ['context-warning', fields({ tokens: count, window: count })],
  ['compaction', fields({ summary: text, through: count, model: text })],
  ['rewind', fields({ to: count })],
  [
    'move',
    fields({ directory: text, branch: missingOr(text), worktree: missingOr(text), project: missingOr(project) }),
  ],
  [
    'instructions',
    fields({ source: one('system', 'agents'), text, path: missingOr(text), offered: missingOr(one(true)) }),
  ],
  ['project', fields({ project })],
  ['child', fields({ uuid: text, reason: text })],
]);

/** Returns whether a value is an event. An event of an unknown type needs only its place. */
export const isEvent: Test = (value) => {
  if (!fields(place)(value)) return false;
  const known = eventTypes.get((value as { type: unknown }).type);
  return known === undefined || known(value);
};

const keyId: Test = (value) => text(value) && /^[0-9a-f]{32}$/.test(String(value));
const base64: Test = (value) => text(value) && btoaOf(String(value)) === value;
const passphrase = {
  kind: one('passphrase'),
  algorithm: one('argon2id'),
  memory: Number.isSafeInteger,
  passes: Number.isSafeInteger,
};
const slot: Test = (value) =>
  fields({ ...passphrase, parallelism: Number.isSafeInteger, salt: base64, wrapped: base64 })(value) ||
  fields({ kind: one('recovery'), algorithm: one('hkdf-sha256'), salt: base64, wrapped: base64 })(value);
const slots: Test = (value) => list(slot)(value) && (value as unknown[]).length <= 16;

/** Returns whether a value is valid content of vault.json. */
export const isVaultFile: Test = fields({
  format: one(1),
  key: keyId,
  retiring: missingOr(keyId),
  retiringSlots: missingOr(slots),
  backend: one('keytar', 'secret-service', 'security', 'dpapi', 'fd', 'passphrase', 'memory'),
  provider: (value) => text(value) && String(value).length <= 200,
  slots,
});

function btoaOf(base64Text: string): string | undefined {
  try {
    return btoa(atob(base64Text));
  } catch {
    return undefined; // this is the answer: it isn't base64
  }
}
