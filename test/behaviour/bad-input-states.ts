import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Command } from './bad-input-commands.ts';
import type { Subject } from './bad-input-vault.ts';

/** The sealed file that the commands use. */
const SESSION = 'sessions/<session>';

/** Something else put in the place of a file or a folder. */
interface Put {
  readonly what: string;
  on(path: string): (subject: Subject) => void;
}

const linked: Put = { what: 'a link', on: (path) => (subject) => link(subject, path) };
const asDirectory: Put = { what: 'a directory', on: (path) => (subject) => mkdirSync(emptied(pathOf(subject, path))) };
const asPipe: Put = { what: 'a pipe', on: (path) => (subject) => pipe(emptied(pathOf(subject, path))) };
const asFile: Put = {
  what: 'a file',
  on: (path) => (subject) => writeFileSync(emptied(pathOf(subject, path)), 'a file', { mode: 0o600 }),
};

/** Exit codes by command name, or else by command kind. */
type Codes = Readonly<Record<string, number>>;

/** A damaged vault, and how commands end on it if they differ from a good vault. */
export interface State {
  readonly name: string;
  apply(subject: Subject): void;
  readonly codes: Codes;
  /** Lines that commands print on stderr although they succeed, by name or kind. */
  readonly tells?: Readonly<Record<string, RegExp>>;
}

/**
 * Exit codes other than 0 on a good vault. Its key comes from a credential, which no rotation can
 * change.
 */
const usual: Codes = { salvage: 1, purge: 12, 'key recovery-code': 2, 'key rotate': 12 };

/** Returns the exit code expected of a command. */
export function codeOf({ name, kind }: Command, codes: Codes): number {
  return codes[name] ?? codes[kind] ?? usual[name] ?? 0;
}

/**
 * Returns codes for a vault on which every command that needs one fails. No user is present to
 * write a recovery code down.
 */
export function all(code: number): Codes {
  return { ...one(code), list: code, turn: code, begin: code, own: code, 'key recovery-code': 2 };
}

/** Returns codes for a vault on which every command that uses one session fails. */
function one(code: number): Codes {
  return { read: code, change: code, copy: code };
}

const keys = { 'key list': 1, 'key add-passphrase': 1, 'key remove': 1, 'key rotate': 1, recover: 1, purge: 1 };
const nowhere = { ...one(10), turn: 10, delete: 10, salvage: 10, ...keys };
const noFile = { ...one(13), '-c': 10, doctor: 13 };
const noNew = { begin: 15, copy: 1, import: 1, doctor: 1 };
const noTurn = { change: 1, turn: 1, prune: 1, delete: 1, purge: 1 };
const noLock = { ...noNew, ...noTurn, 'key add-passphrase': 1, 'key remove': 1, 'key rotate': 1 };
const noList = { ...one(1), ...noTurn, list: 1, chat: 1, '-p': 15, import: 1, doctor: 1, 'key rotate': 1 };

/**
 * Conversations can be read, listed and removed although vault.json is not believed. Nothing new is
 * sealed if no key is known.
 */
const readable = {
  ...{ read: 0, begin: 15, stats: 0, 'prune --dry-run': 0, prune: 0, delete: 0, salvage: 1 },
  ...{ 'pin what is pinned': 0, 'unarchive what is not archived': 0 },
};

/** The command advised for a snapshot with a space in its name. */
const advised = /coffer delete '\S+_a snapshot'$/m;
const unread = { list: /^1 can't be \w+: /m, chat: /^1 newer file can't /m, '-r': /^1 newer file can't /m };
const unmarked = /, but the rollback marks could not be written: /;
const unguarded = {
  ...{ change: unmarked, copy: unmarked, begin: unmarked, turn: unmarked, prune: unmarked, delete: unmarked },
  ...{ import: unmarked, list: /^file seen: /m, resume: /credential file/ },
};

export const states: readonly State[] = [
  { name: 'as it should be', apply: () => undefined, codes: {}, tells: { delete: advised, redact: advised } },
  { name: 'that is not there', apply: ({ vault }) => rmSync(vault, { recursive: true }), codes: nowhere },
  { name: 'that is an empty folder', apply: ({ vault }) => mkdirSync(emptied(vault), { mode: 0o700 }), codes: nowhere },
  {
    name: 'with a vault.json of a newer version',
    apply: (subject) =>
      edit(subject, 'vault.json', (bytes) => Buffer.from(`${bytes}`.replace('"format": 1', '"format": 2'))),
    codes: { ...all(13), ...readable },
  },
  {
    name: 'with nonsense as vault.json',
    apply: (subject) => edit(subject, 'vault.json', () => Buffer.from('nonsense')),
    codes: { ...all(13), ...readable },
  },
  {
    name: 'with a session of a newer version',
    apply: (subject) => edit(subject, SESSION, (bytes) => bytes.fill(2, 8, 9).fill(7, 60)),
    codes: { ...noFile, ...one(14), doctor: 14, salvage: 14, 'key rotate': 14, purge: 14 },
    tells: unread,
  },
  {
    name: 'with a session of another vault',
    apply: (subject) => edit(subject, SESSION, (bytes) => bytes.fill(2, 12, 28).fill(7, 60)),
    codes: { ...noFile, ...one(12), doctor: 12, salvage: 12 },
    tells: unread,
  },
  ...[linked, asDirectory, asPipe].flatMap((put) => [
    { name: `with ${put.what} as vault.json`, apply: put.on('vault.json'), codes: { ...all(13), ...readable } },
    {
      ...{ name: `with ${put.what} as seen`, apply: put.on('seen'), codes: { doctor: 13 } },
      tells: put === asDirectory ? unguarded : {},
    },
    {
      ...{ name: `with ${put.what} as a session`, apply: put.on(SESSION), tells: unread },
      codes: put === asDirectory ? { ...noFile, delete: 1 } : noFile,
    },
    { name: `with ${put.what} as the lock of the vault`, apply: put.on('locks/vault'), codes: noLock },
  ]),
  { name: 'with a link as sessions', apply: linked.on('sessions'), codes: noNew },
  { name: 'with a link as locks', apply: linked.on('locks'), codes: noLock },
  { name: 'with a link as quarantine', apply: linked.on('quarantine'), codes: { doctor: 1 } },
  {
    name: 'with a file as sessions',
    apply: asFile.on('sessions'),
    codes: { ...noList, '-p': 1, 'key add-passphrase': 1, 'key remove': 1, recover: 1 },
  },
  { name: 'with a file as locks', apply: asFile.on('locks'), codes: { ...noLock, ...noList } },
  {
    name: 'with a file as quarantine',
    apply: asFile.on('quarantine'),
    codes: { doctor: 1, 'key rotate': 1, purge: 1 },
  },
  { name: 'that a link leads to', apply: linked.on(''), codes: {} },
  { name: 'that is a file', apply: asFile.on(''), codes: all(1) },
  { name: 'that is a pipe', apply: asPipe.on(''), codes: all(1) },
];

/** Lists a folder and everything below it: type, mode, modification time, content. */
export function digest(root: string): string[] {
  const rows: string[] = [];
  for (const name of ['.', ...readdirSync(root, { recursive: true, encoding: 'utf8' })].sort()) {
    const path = join(root, name);
    const stats = lstatSync(path, { bigint: true });
    // Leases come and go in `locks`, whatever the outcome of the command that took them.
    const changed = name.endsWith('locks') && stats.isDirectory() ? '' : stats.mtimeNs;
    let content = '';
    if (stats.isFile()) content = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (stats.isSymbolicLink()) content = readlinkSync(path);
    rows.push(`${name} ${stats.mode.toString(8)} ${stats.uid} ${changed} ${content}`);
  }
  return rows;
}

function pathOf({ vault, fileId }: Subject, path: string): string {
  return join(vault, path.replace('<session>', fileId));
}

/** Removes what is at a path, and returns the path. */
function emptied(path: string): string {
  rmSync(path, { recursive: true, force: true });
  return path;
}

function edit(subject: Subject, path: string, change: (bytes: Buffer) => Buffer): void {
  const at = pathOf(subject, path);
  writeFileSync(at, change(readFileSync(at)));
}

/** Replaces a path with a link to the moved original, so that following it would work. */
function link(subject: Subject, path: string): void {
  const at = pathOf(subject, path);
  const target = join(subject.root, 'elsewhere');
  if (lstatSync(at, { throwIfNoEntry: false })) renameSync(at, target);
  else mkdirSync(target, { mode: 0o700 });
  symlinkSync(target, at);
}

function pipe(path: string): void {
  if (spawnSync('mkfifo', ['-m', '600', path]).status !== 0) throw new Error(`mkfifo ${path} failed`);
}
