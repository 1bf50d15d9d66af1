import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { linesOf } from './format-base.ts';
import {
  fileIdNamed,
  headerWith,
  keyNamed,
  linkOf,
  plainOf,
  sealPlain,
  segmentOf,
  u32,
  zstdBomb,
} from './malicious.ts';

/**
 * Returns the first inputs of a target: a few of our own, the fixed vectors, and the findings of
 * earlier runs.
 */
export type Seeds = (target: string) => Buffer[];

/** The folder of inputs that reached something, with one folder for each target. */
export const CORPUS: string = join(import.meta.dirname, 'corpus');

/** The seeds of all targets. */
export const seeds: Seeds = (target) => [...ownSeeds(target), ...kept(target)];

/**
 * Like `seeds`, but without the findings of earlier runs: a control must find its fault without
 * help.
 */
export const ownSeeds: Seeds = (target) => own[target]?.() ?? [];

function kept(target: string): Buffer[] {
  const folder = join(CORPUS, target);
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names.map((name) => readFileSync(join(folder, name)));
}

interface Vector {
  readonly frames: readonly { readonly summary: string; readonly events: string }[];
}

function framesOfVectors(): { summary: string; events: string }[] {
  const folder = join(import.meta.dirname, '../vectors/opened');
  const vectors = readdirSync(folder)
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Vector);
  return vectors.flatMap(({ frames }) => frames).filter(({ events }) => events.length < 4096);
}

const LINES = linesOf('a seed', 200);
const PACKED = zstdCompressSync(Buffer.concat([LINES, LINES, LINES]));
const ZSTD = segmentOf(1, PACKED, 3 * LINES.length);
const STORED = segmentOf(0, LINES, LINES.length);
const UUID = 'f5b4a6d8-58b8-4f3c-9a53-3c1f6a0f3a11';

const own: Readonly<Record<string, () => Buffer[]>> = {
  heads: () => {
    const key = keyNamed('the format');
    const header = headerWith(key, fileIdNamed('ours'));
    return [header, sealPlain(key, linkOf(header), plainOf({}, 4096)).subarray(0, 80), u32(72), u32(2 ** 30)];
  },
  segment: () => [
    Buffer.concat([Buffer.of(0), u32(LINES.length), LINES]),
    Buffer.concat([Buffer.of(1), u32(3 * LINES.length), PACKED]),
    Buffer.concat([Buffer.of(1), u32(2 ** 18), zstdBomb(2)]),
    Buffer.concat([Buffer.of(1), u32(0), zstdCompressSync(Buffer.alloc(0))]),
  ],
  content: () => {
    const bodies = [
      Buffer.alloc(0),
      STORED,
      ZSTD,
      Buffer.concat([STORED, ZSTD, STORED]),
      segmentOf(0, Buffer.alloc(0), 0),
    ];
    const plains = bodies.map((body) =>
      plainOf({ summary: Buffer.from('{"id":"a"}'), body, padding: Buffer.alloc(0) }, 0),
    );
    return plains.flatMap((plain) => [0, 1].map((index) => Buffer.concat([Buffer.of(index), plain])));
  },
  summary: () => {
    const common = { id: '2026-11-20_14-30', uuid: UUID, begun: 1, updated: 2, directory: '/work', model: 'demo/echo' };
    const counts = { messages: 2, inputTokens: 10, outputTokens: null, cost: 0.25, firstEvent: 1, lastEvent: 9 };
    const parent = { uuid: UUID, id: 'a', reason: 'b' };
    const whole = { kind: 'session', ...common, ...counts, status: 'completed' };
    const more = {
      ...whole,
      kind: 'snapshot',
      name: 'n',
      title: 't',
      branch: 'b',
      worktree: '/work',
      project: { first: 'a', remote: 'r', path: '' },
      tasks: 1,
      toolCalls: 2,
      pinned: true,
      archived: false,
      tags: ['a', 'b'],
      agents: 'used',
      parent,
      status: 'running',
      newer: [1],
    };
    return [
      ...[whole, more].map((one) => Buffer.from(JSON.stringify(one))),
      ...framesOfVectors().map((one) => Buffer.from(one.summary)),
    ];
  },
  events: () => {
    const text = { type: 'text', text: 'a' };
    const file = { type: 'file', mediaType: 'image/png', data: 'AAAA', filename: 'a.png' };
    const call = { type: 'tool-call', toolCallId: 'c', toolName: 't', input: { a: [1] } };
    const bodies: object[] = [
      { type: 'begin', uuid: UUID, directory: '/work', branch: 'b', parent: { uuid: UUID, id: 'a', reason: 'r' } },
      { type: 'message', message: { role: 'system', content: 'a' } },
      { type: 'message', message: { role: 'user', content: [text, file] } },
      {
        type: 'message',
        model: 'a/b',
        partial: true,
        message: { role: 'assistant', content: [text, { ...text, type: 'reasoning' }, call] },
      },
      {
        type: 'message',
        message: { role: 'tool', content: [{ type: 'tool-result', toolCallId: 'c', toolName: 't', output: 1 }] },
      },
      { type: 'usage', model: 'a/b', usage: { inputTokens: 1, outputTokens: null, cost: 0.5 } },
      { type: 'model', model: 'a/b' },
      { type: 'name', name: 'n' },
      { type: 'status', status: 'failed', reason: 'r' },
      { type: 'error', code: 'FAILED', message: 'm' },
      { type: 'begin', uuid: UUID, directory: '/work', worktree: '/work', project: { first: 'a', path: 'p' } },
      { type: 'pin', pinned: true },
      { type: 'archive', archived: false },
      { type: 'tags', tags: ['a'] },
      { type: 'tool-start', toolCallId: 'c', toolName: 't' },
      { type: 'tool-end', toolCallId: 'c', toolName: 't', outcome: 'denied', bytes: 1 },
      { type: 'approval-asked', toolCallId: 'c', rule: 'write', about: 'a' },
      { type: 'approval-answered', toolCallId: 'c', rule: 'write', answer: 'always', by: 'person' },
      { type: 'permission', rule: 'write', decision: 'revoke' },
      { type: 'context-warning', tokens: 1, window: 2 },
      { type: 'compaction', summary: 's', through: 1, model: 'a/b' },
      { type: 'rewind', to: 1 },
      { type: 'project', project: { first: 'a', remote: 'r', path: '' } },
      { type: 'move', directory: '/work', branch: 'b', worktree: '/w', project: { path: '' } },
      { type: 'instructions', source: 'agents', text: 't', path: '/work/AGENTS.md', offered: true },
      { type: 'child', uuid: UUID, reason: 'r' },
      { type: 'newer', whatever: {} },
      { type: '__proto__', whatever: {} },
    ];
    const lines = bodies.map((body, index) => `${JSON.stringify({ id: index + 1, ts: 1, ...body })}\n`);
    return [lines.join(''), ...lines, ...framesOfVectors().map((one) => one.events)].map((one) => Buffer.from(one));
  },
  'vault.json': () => {
    const slot = {
      algorithm: 'argon2id',
      memory: 65_536,
      passes: 3,
      parallelism: 1,
      salt: 'tNAqEdSHUgv3eXU//O7uUQ==',
      wrapped: 'AAAA',
    };
    const key = 'a3f7a573928a1c657fddab3c84089c2a';
    const plain = { format: 1, key, backend: 'fd', provider: 'p', slots: [] };
    const passphrase = { kind: 'passphrase', ...slot };
    const recovery = { kind: 'recovery', algorithm: 'hkdf-sha256', salt: slot.salt, wrapped: slot.wrapped };
    const full = {
      ...plain,
      backend: 'passphrase',
      slots: [passphrase, recovery],
      retiring: key,
      retiringSlots: [passphrase],
    };
    return [plain, full, { ...plain, format: 2 }].map((one) => Buffer.from(JSON.stringify(one, undefined, 2)));
  },
};
