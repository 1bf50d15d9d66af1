/*
 * A file of our own, sealed for the user by Windows' DPAPI, through PowerShell. The scripts' composition, the files and the reading of answers
 * are tested, and the whole against a stand-in; on a real Windows this has not been run yet: the CI job there does.
 */
import { randomBytes } from 'node:crypto';
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join, win32 } from 'node:path';
import type { Answer, Found, ItemName, Refusal } from './answer.ts';
import { runTool, type ToolReply } from './tool.ts';

/** How DPAPI is asked. */
export interface DpapiTerms {
  /** SystemRoot is read, and passed on with what PowerShell needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the sealed files are kept; made 0700 when it is needed. */
  readonly directory: string;
  readonly milliseconds: number;
  /** Another program in PowerShell's place, for tests. */
  readonly executable?: string;
}

/** A sealed key is some 300 bytes: what is larger is not ours. */
const BLOB_LIMIT = 16 * 1024;

/** What PowerShell needs of our environment. */
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

/** Asks whether PowerShell is where Windows has it. */
export async function probe(terms: DpapiTerms): Promise<Answer> {
  try {
    await access(terms.executable ?? powershellPath(terms.env));
    return { outcome: 'READY', detail: 'PowerShell is there' };
  } catch (error) {
    return { outcome: 'ABSENT', detail: `PowerShell cannot be run: ${codeOf(error)}` };
  }
}

/** Reads the text of an item. */
export async function read(terms: DpapiTerms, item: ItemName): Promise<Found> {
  let sealed: Buffer;
  try {
    sealed = await readFile(blobPath(terms.directory, item));
  } catch (error) {
    return fileRefusal(error);
  }
  if (sealed.length > BLOB_LIMIT) return { outcome: 'MISMATCH', detail: 'the sealed file is not ours' };
  const opened = readingOf(await ask(terms, 'Unprotect', sealed, item));
  return opened.outcome === 'READY'
    ? { outcome: 'READY', text: Buffer.from(opened.text, 'base64').toString() }
    : opened;
}

/** Seals a text for this user, writes it whole, and reads it back. */
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
  if (back.text === text) return { outcome: 'READY', detail: 'DPAPI keeps it' };
  return { outcome: 'DECLINED', detail: 'DPAPI took the key and does not give it back' };
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

/** Gives PowerShell's absolute path: what PATH would find may be somebody else's. Pure. */
export function powershellPath(env: DpapiTerms['env']): string {
  const root = env['SystemRoot'] ?? env['SYSTEMROOT'] ?? 'C:\\Windows';
  return win32.join(root, 'System32', 'WindowsPowerShell', 'v1.0', 'powershell.exe');
}

/**
 * Composes PowerShell's arguments: a script that is always the same and holds no secret. What is sealed or opened, and the key id that
 * it is bound to, are read from stdin as two lines of base64: a secret inside a script would be logged where script logging is on. Pure.
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

/** Composes what the script reads. Pure. */
export function powershellInput(bytes: Uint8Array, item: ItemName): string {
  const lines = [bytes, Buffer.from(`${item.service}/${item.account}`)];
  return lines.map((each) => `${Buffer.from(each).toString('base64')}\n`).join('');
}

/** Reads what PowerShell said: one line of base64, or a code. Pure. */
export function readingOf(reply: ToolReply): Found {
  if ('missing' in reply) return { outcome: 'ABSENT', detail: `PowerShell cannot be run: ${reply.missing}` };
  if ('late' in reply) return { outcome: 'TIMEOUT', detail: 'PowerShell does not answer' };
  const text = reply.stdout.trim();
  if (reply.code === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)) return { outcome: 'READY', text };
  return { outcome: 'DECLINED', detail: `DPAPI refused (PowerShell ended with ${reply.code})` };
}

/** Where an item is kept. Throws RangeError for a name that is no file name. Pure. */
export function blobPath(directory: string, item: ItemName): string {
  if (!/^[\w-]{1,64}$/.test(item.account)) throw new RangeError('an account that is no file name');
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
  if (codeOf(error) === 'ENOENT') return { outcome: 'NOT_FOUND', detail: 'there is no sealed file for such a key' };
  return { outcome: 'DECLINED', detail: `the sealed file cannot be read: ${codeOf(error)}` };
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}
