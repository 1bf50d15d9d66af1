import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CofferError, ErrorCode } from '../../src/errors.ts';
import { MemoryKeyring } from '../../src/keyring/memory.ts';
import type { Row } from '../../src/session/list/row.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';

/** The outcome for foreign things in a session's place, and for files that a newer version made. */
export interface VaultCases {
  cases: number;
  lost: number;
  accepted: number;
  readonly failures: string[];
}

/**
 * Puts things that aren't sessions of this vault in a session's place, in a vault in use. Each must
 * be named, refused by everything that opens it, and left unchanged, however often something is
 * saved next to it.
 */
export async function attackVault(folder: string): Promise<VaultCases> {
  const found: VaultCases = { cases: 0, lost: 0, accepted: 0, failures: [] };
  for (const place of [...newerFiles(), ...otherThings(folder)]) await attackWith(folder, place, found);
  return found;
}

/** Something in the place of a session. */
interface Place {
  readonly what: string;
  readonly code: ErrorCode;
  /** Puts it there, replacing the genuine `bytes`. */
  put(path: string, bytes: Buffer): void | Promise<void>;
}

function newerFiles(): Place[] {
  const changes: [string, number, string][] = [
    ...['00', '02', '03', '7f', 'ff'].map((hex): [string, number, string] => ['version', 8, hex]),
    ...['0001', '0100', '8000', 'ffff'].map((hex): [string, number, string] => ['flags', 10, hex]),
  ];
  const whole = changes.map(([field, offset, hex]): Place => {
    const put = (path: string, bytes: Buffer): void => {
      bytes.set(Buffer.from(hex, 'hex'), offset);
      writeFileSync(path, bytes);
    };
    return { what: `${field} ${hex}`, code: 'NEWER_VERSION', put };
  });
  const short = [9, 12, 51].map((length): Place => {
    const put = (path: string, bytes: Buffer): void => {
      bytes[8] = 2;
      writeFileSync(path, bytes.subarray(0, length));
    };
    return { what: `version 2 in ${length} bytes`, code: 'NEWER_VERSION', put };
  });
  return [...whole, ...short];
}

function otherThings(folder: string): Place[] {
  const elsewhere = join(folder, 'elsewhere');
  const link = (what: string, target: (path: string) => string): Place => ({
    what,
    code: 'UNAUTHENTIC',
    put: (path, bytes) => {
      writeFileSync(elsewhere, bytes);
      rmSync(path);
      symlinkSync(target(path), path);
    },
  });
  return [
    link('a link to the genuine file', () => elsewhere),
    link('a link to nothing', () => join(folder, 'nothing')),
    link('a link to itself', (path) => path),
    link('a link to a device', () => '/dev/zero'),
    thing('a directory', (path) => mkdirSync(path)),
    thing('a pipe', (path) => made('mkfifo', path)),
    thing('a device without an end', (path) => made('mknod', path, 'c', '1', '5')),
    thing('a socket', leaveSocket),
    thing('an empty file', (path) => writeFileSync(path, '')),
    {
      what: 'another session',
      code: 'UNAUTHENTIC',
      put: (path, bytes) => writeFileSync(path, Buffer.from(bytes).fill(0x5a, 28, 44)),
    },
  ];
}

function thing(what: string, make: (path: string) => void | Promise<void>): Place {
  const put = async (path: string): Promise<void> => {
    rmSync(path);
    await make(path);
  };
  return { what, code: 'UNAUTHENTIC', put };
}

async function attackWith(folder: string, place: Place, found: VaultCases): Promise<void> {
  const directory = join(folder, `used-${found.cases}`);
  const keyring = new MemoryKeyring();
  const open = (): Promise<Sessions> => openVault({ directory, keyring, env: {} });
  const fileId = await useOnce(open);
  const path = join(directory, 'sessions', fileId);
  await place.put(path, readFileSync(path));
  const before = stateOf(path);
  const fail = (what: string): unknown => found.failures.push(`${place.what} in a session's place: ${what}`);
  found.cases++;

  for (let time = 0; time < 2; time++) {
    await using vault = await open();
    const row = (await vault.list()).find((one) => one.fileId === fileId);
    if (!row) fail('it is not listed');
    else if (row.unreadable?.code !== place.code) fail(`it is listed as ${row.unreadable?.code ?? 'a session'}`);
    if (!row?.unreadable?.message.includes(fileId)) fail('its error does not name it');
    for (const [verb, attempt] of attempts(vault, row ?? ({ fileId, kind: 'session' } as Row))) {
      const code = await codeOf(attempt);
      if (code === undefined) found.accepted++;
      if (code !== place.code) fail(`${verb} says ${code ?? 'nothing'}`);
    }
    await useOnce(open, vault);
    if (stateOf(path) !== before) {
      found.lost++;
      fail('it is gone or changed');
    }
  }
  rmSync(directory, { recursive: true, force: true });
}

function attempts(vault: Sessions, row: Row): [string, () => Promise<unknown>][] {
  const { unreadable: _, ...readable } = row;
  return [
    ['reading it', () => vault.read(row)],
    ['resuming it', () => vault.resume(row)],
    ['going on with it', async () => (await vault.resume(readable)).append(user('over it'))],
  ];
}

/** Begins a session, saves two steps and closes. Returns its file. */
async function useOnce(open: () => Promise<Sessions>, at?: Sessions): Promise<string> {
  const vault = at ?? (await open());
  const session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
  await session.append(user('first'));
  await session.append(user('second'));
  await session.close();
  if (!at) await vault.close();
  return session.fileId!;
}

async function codeOf(attempt: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    return (error as CofferError).code ?? String(error);
  }
}

/** Describes everything at a path, apart from the times. */
function stateOf(path: string): string {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats) return 'nothing';
  const bytes = stats.isFile() ? readFileSync(path, 'hex') : '';
  return [stats.ino, stats.mode, stats.size, stats.mtimeMs, bytes].join(' ');
}

function user(content: string): { type: 'message'; message: { role: 'user'; content: string } } {
  return { type: 'message', message: { role: 'user', content } };
}

/** Leaves a socket that no process listens on, as a killed process does. */
function leaveSocket(path: string): void {
  const script = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";
  spawnSync(process.execPath, ['-e', script, path]);
}

function made(command: string, ...args: readonly string[]): void {
  const { status } = spawnSync(command, args);
  if (status !== 0) throw new Error(`${command} did not make it`);
}
