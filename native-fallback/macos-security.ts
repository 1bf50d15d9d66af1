/*
 * The macOS keychain through `/usr/bin/security -i`. The commands and the parsing of replies are
 * tested, and the whole against a stand-in. It has not been run on a real macOS yet: the CI job
 * there does that.
 */
import type { Answer, Found, ItemName, Refusal } from './answer.ts';
import { runTool, type ToolReply } from './tool.ts';

/** Options for running `security`. */
export interface SecurityTerms {
  /** The deadline of a call, in milliseconds; Infinity waits forever. */
  readonly milliseconds: number;
  /** The program to run instead, for tests. */
  readonly executable?: string;
  /** The keychain file to use. Default: the default keychain. */
  readonly keychain?: string;
}

const EXECUTABLE = '/usr/bin/security';

/**
 * `security -i` reads commands into a buffer of 4096 bytes: the rest of a longer line would run as
 * a separate command.
 */
const LINE_LIMIT = 4096;

/** errSecItemNotFound, errSecInteractionNotAllowed, … modulo 256, as the exit code reports them. */
const CODES: Readonly<Record<number, Refusal>> = {
  36: { outcome: 'LOCKED', detail: 'the keychain is locked' },
  37: { outcome: 'ABSENT', detail: 'there is no default keychain' },
  44: { outcome: 'NOT_FOUND', detail: 'the keychain has no such key' },
  50: { outcome: 'ABSENT', detail: 'there is no such keychain' },
  51: { outcome: 'DECLINED', detail: 'the keychain denied access' },
  53: { outcome: 'ABSENT', detail: 'no keychain is available' },
  128: { outcome: 'DECLINED', detail: 'the prompt was dismissed' },
};

/** Checks whether there is a default keychain. Checking whether it is unlocked would prompt. */
export async function probe(terms: SecurityTerms): Promise<Answer> {
  const found = readingOf(await ask(terms, 'default-keychain'));
  return found.outcome === 'READY' ? { outcome: 'READY', detail: 'there is a default keychain' } : found;
}

/** Returns the text of an item. */
export async function read(terms: SecurityTerms, item: ItemName): Promise<Found> {
  return readingOf(await ask(terms, findLine(item, terms.keychain)));
}

/**
 * Writes an item's text and reads it back, because a write that stored an empty secret also exits
 * with code 0.
 */
export async function write(terms: SecurityTerms, item: ItemName, text: string): Promise<Answer> {
  const written = readingOf(await ask(terms, addLine(item, text, process.execPath, terms.keychain)));
  if (written.outcome !== 'READY') return written;
  const back = await read(terms, item);
  if (back.outcome !== 'READY') return back;
  if (back.text === text) return { outcome: 'READY', detail: 'stored in the keychain' };
  return { outcome: 'DECLINED', detail: 'the keychain accepted the key but does not return it' };
}

/** Deletes an item. */
export async function remove(terms: SecurityTerms, item: ItemName): Promise<Answer> {
  const done = readingOf(await ask(terms, deleteLine(item, terms.keychain)));
  return done.outcome === 'READY' ? { outcome: 'READY', detail: 'deleted' } : done;
}

/** Returns the command that prints a secret. Pure. */
export function findLine(item: ItemName, keychain?: string): string {
  return line(['find-generic-password', ...named(item), '-w', ...file(keychain)]);
}

/**
 * Returns the command that stores a secret, replacing one with the same name. `security` and the
 * Node that runs keytar can read it without a prompt. Pure.
 */
export function addLine(item: ItemName, text: string, node: string, keychain?: string): string {
  const trusted = ['-T', EXECUTABLE, '-T', node];
  const label = ['-l', `${item.service}/${item.account}`];
  return line(['add-generic-password', '-U', ...named(item), ...label, ...trusted, '-w', text, ...file(keychain)]);
}

/** Returns the command that deletes an item. Pure. */
export function deleteLine(item: ItemName, keychain?: string): string {
  return line(['delete-generic-password', ...named(item), ...file(keychain)]);
}

/**
 * Interprets a reply of `security -i`. Its exit code is the last command's; if it is 0, stderr may
 * still have `returned 44`. Pure.
 */
export function readingOf(reply: ToolReply): Found {
  if ('missing' in reply) return { outcome: 'ABSENT', detail: `${EXECUTABLE} cannot be run: ${reply.missing}` };
  if ('late' in reply) return { outcome: 'TIMEOUT', detail: 'the keychain does not answer' };
  const code = reply.code !== 0 ? reply.code : Number(/returned (-?\d+)/.exec(reply.stderr)?.[1] ?? 0) & 0xff;
  if (code === 0) return { outcome: 'READY', text: reply.stdout.replace(/\n$/, '') };
  return CODES[code] ?? { outcome: 'DECLINED', detail: `the keychain refused (security returned ${code})` };
}

function ask(terms: SecurityTerms, command: string): Promise<ToolReply> {
  const { HOME, USER, LOGNAME } = process.env;
  const executable = terms.executable ?? EXECUTABLE;
  const env = { HOME, USER, LOGNAME };
  return runTool({ executable, args: ['-i'], env, input: `${command}\n`, milliseconds: terms.milliseconds });
}

function named(item: ItemName): string[] {
  return ['-s', item.service, '-a', item.account];
}

function file(keychain: string | undefined): string[] {
  return keychain === undefined ? [] : [keychain];
}

function line(words: readonly string[]): string {
  const text = words.map(quoted).join(' ');
  if (Buffer.byteLength(text) + 1 >= LINE_LIMIT) throw new RangeError('a command for security is too long');
  return text;
}

/**
 * Quotes a word for the shell-like parser of `security -i`. A line end would start another command.
 */
function quoted(word: string): string {
  if (/\p{Cc}/u.test(word)) throw new RangeError('a word for security has a control character');
  return /^[\w./+=-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`;
}
