/*
 * A separate file, sealed for the user by Windows' DPAPI, through PowerShell. The composition of
 * the scripts, the files and the parsing of replies are tested, and the whole against a stand-in.
 * It has not been run on a real Windows yet: the CI job there does that.
 */
import { randomBytes } from 'node:crypto';
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join, win32 } from 'node:path';
import type { Answer, Found, ItemName, Refusal } from './answer.ts';
import { runTool, type ToolReply } from './tool.ts';

/** Options for using DPAPI. */
export interface DpapiTerms {
  /** The environment. SystemRoot is read, and passed on with what PowerShell needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The directory of the sealed files; created with mode 0700 when needed. */
  readonly directory: string;
  /** The deadline of a call, in milliseconds; Infinity waits forever. */
  readonly milliseconds: number;
  /** The program to run instead of PowerShell, for tests. */
  readonly executable?: string;
}

/**
 * The maximum size of a sealed file, in bytes. A sealed key is some 300 bytes; a larger file isn't
 * ours.
 */
const BLOB_LIMIT = 16 * 1024;

/** The environment variables that PowerShell needs. */
const PASSED_ON = [
  'SystemRoot',
  'SystemDrive',
  'windir',
  'USERPROFILE',
  'USERNAME',
  'USERDOMAIN',
  'APPDATA',
  'LOCALAPPDATA',
  'TEMP',
  'TMP',
];

/** Checks whether PowerShell is at its usual path. */
export async function probe(terms: DpapiTerms): Promise<Answer> {
  try {
    await access(terms.executable ?? powershellPath(terms.env));
    return { outcome: 'READY', detail: 'PowerShell is available' };
  } catch (error) {
    return { outcome: 'ABSENT', detail: `PowerShell cannot be run: ${codeOf(error)}` };
  }
}

/** Returns the text of an item. */
export async function read(terms: DpapiTerms, item: ItemName): Promise<Found> {
  let sealed: Buffer;
  try {
    sealed = await readFile(blobPath(terms.directory, item));
  } catch (error) {
    return fileRefusal(error);
  }
  if (sealed.length > BLOB_LIMIT) return { outcome: 'MISMATCH', detail: 'the sealed file is too large to be a key' };
  const opened = readingOf(await ask(terms, 'Unprotect', sealed, item));
  return opened.outcome === 'READY'
    ? { outcome: 'READY', text: Buffer.from(opened.text, 'base64').toString() }
    : opened;
}

/** Seals a text for this user, replaces the item's file atomically, and reads it back. */
export async function write(terms: DpapiTerms, item: ItemName, text: string): Promise<Answer> {
  const sealed = readingOf(await ask(terms, 'Protect', Buffer.from(text), item));
  if (sealed.outcome !== 'READY') return sealed;
  try {
    await replace(terms.directory, blobPath(terms.directory, item), Buffer.from(sealed.text, 'base64'));
  } catch (error) {
    return { outcome: 'DECLINED', detail: `the sealed file cannot be written: ${codeOf(error)}` };
  }
  const back = await read(terms, item);
  if (back.outcome !== 'READY') return back;
  if (back.text === text) return { outcome: 'READY', detail: 'stored with DPAPI' };
  return { outcome: 'DECLINED', detail: 'DPAPI accepted the key but does not return it' };
}

/** Deletes an item's file. */
export async function remove(terms: DpapiTerms, item: ItemName): Promise<Answer> {
  try {
    await rm(blobPath(terms.directory, item));
    return { outcome: 'READY', detail: 'deleted' };
  } catch (error) {
    return fileRefusal(error);
  }
}

/** Returns PowerShell's absolute path: PATH might find another user's program. Pure. */
export function powershellPath(env: DpapiTerms['env']): string {
  const root = env['SystemRoot'] ?? env['SYSTEMROOT'] ?? 'C:\\Windows';
  return win32.join(root, 'System32', 'WindowsPowerShell', 'v1.0', 'powershell.exe');
}

/**
 * Returns PowerShell's arguments: a constant script that contains no secret. The bytes to seal or
 * open, and the key id that they are bound to, are read from stdin as two lines of base64: a secret
 * in a script would be logged if script logging is on. Pure.
 */
export function powershellArguments(operation: 'Protect' | 'Unprotect'): string[] {
  const script = [
    `$ErrorActionPreference = 'Stop'`,
    'Add-Type -AssemblyName System.Security',
    '$bytes = [Convert]::FromBase64String([Console]::In.ReadLine())',
    '$bound = [Convert]::FromBase64String([Console]::In.ReadLine())',
    `$result = [Security.Cryptography.ProtectedData]::${operation}($bytes, $bound, 'CurrentUser')`,
    '[Console]::Out.WriteLine([Convert]::ToBase64String($result))',
  ].join('\n');
  return [
    '-NoLogo',
    '-NoProfile',
    '-NonInteractive',
    '-EncodedCommand',
    Buffer.from(script, 'utf16le').toString('base64'),
  ];
}

/** Returns the input of the script. Pure. */
export function powershellInput(bytes: Uint8Array, item: ItemName): string {
  const lines = [bytes, Buffer.from(`${item.service}/${item.account}`)];
  return lines.map((each) => `${Buffer.from(each).toString('base64')}\n`).join('');
}

/** Interprets a reply of PowerShell: one line of base64, or an exit code. Pure. */
export function readingOf(reply: ToolReply): Found {
  if ('missing' in reply) return { outcome: 'ABSENT', detail: `PowerShell cannot be run: ${reply.missing}` };
  if ('late' in reply) return { outcome: 'TIMEOUT', detail: 'PowerShell does not answer' };
  const text = reply.stdout.trim();
  if (reply.code === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)) return { outcome: 'READY', text };
  return { outcome: 'DECLINED', detail: `DPAPI refused (PowerShell exited with ${reply.code})` };
}

/**
 * Returns the path of an item's file. Throws RangeError if the account isn't a valid file name.
 * Pure.
 */
export function blobPath(directory: string, item: ItemName): string {
  if (!/^[\w-]{1,64}$/.test(item.account)) throw new RangeError('the account is not a valid file name');
  return join(directory, `${item.account}.dpapi`);
}

function ask(
  terms: DpapiTerms,
  operation: 'Protect' | 'Unprotect',
  bytes: Uint8Array,
  item: ItemName,
): Promise<ToolReply> {
  return runTool({
    executable: terms.executable ?? powershellPath(terms.env),
    args: powershellArguments(operation),
    env: Object.fromEntries(PASSED_ON.map((name) => [name, terms.env[name]])),
    input: powershellInput(bytes, item),
    milliseconds: terms.milliseconds,
  });
}

async function replace(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function fileRefusal(error: unknown): Refusal {
  if (codeOf(error) === 'ENOENT') return { outcome: 'NOT_FOUND', detail: 'there is no sealed file for this key' };
  return { outcome: 'DECLINED', detail: `the sealed file cannot be read: ${codeOf(error)}` };
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}
