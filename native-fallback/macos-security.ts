/*
 * The macOS keychain by `/usr/bin/security -i`. The commands and the reading of answers are tested, and the whole against a stand-in;
 * on a real macOS this has not been run yet: the CI job there does.
 */
import type { Answer, Found, ItemName, Refusal } from './answer.ts';
import { runTool, type ToolReply } from './tool.ts';

/** How `security` is asked. */
export interface SecurityTerms {
  readonly milliseconds: number;
  /** Another program in its place, for tests. */
  readonly executable?: string;
  /** A keychain file instead of the default keychain. */
  readonly keychain?: string;
}

const EXECUTABLE = '/usr/bin/security';

/** `security -i` reads its commands into a buffer of 4096 bytes: the rest of a longer line would be a command of its own. */
const LINE_LIMIT = 4096;

/** errSecItemNotFound, errSecInteractionNotAllowed, … modulo 256, as the exit code gives them. */
const CODES: Readonly<Record<number, Refusal>> = {
  36: { outcome: 'LOCKED', detail: 'the keychain is locked' },
  37: { outcome: 'ABSENT', detail: 'there is no default keychain' },
  44: { outcome: 'NOT_FOUND', detail: 'the keychain has no such key' },
  50: { outcome: 'ABSENT', detail: 'there is no such keychain' },
  51: { outcome: 'DECLINED', detail: 'the keychain refused the access' },
  53: { outcome: 'ABSENT', detail: 'no keychain is available' },
  128: { outcome: 'DECLINED', detail: 'the prompt was dismissed' },
};

/** Asks whether there is a default keychain. Whether it is unlocked cannot be asked without a prompt. */
export async function probe(terms: SecurityTerms): Promise<Answer> {
  const found = readingOf(await ask(terms, 'default-keychain'));
  return found.outcome === 'READY' ? { outcome: 'READY', detail: 'there is a default keychain' } : found;
}

/** Reads the text of an item. */
export async function read(terms: SecurityTerms, item: ItemName): Promise<Found> {
  return readingOf(await ask(terms, findCommand(item, terms.keychain)));
}

/** Writes an item's text and reads it back: a write that stored an empty secret ends with code 0 as well. */
export async function write(terms: SecurityTerms, item: ItemName, text: string): Promise<Answer> {
  const written = readingOf(await ask(terms, addCommand(item, text, process.execPath, terms.keychain)));
  if (written.outcome !== 'READY') return written;
  const back = await read(terms, item);
  if (back.outcome !== 'READY') return back;
  if (back.text === text) return { outcome: 'READY', detail: 'the keychain keeps it' };
  return { outcome: 'DECLINED', detail: 'the keychain took the key and does not give it back' };
}

/** Deletes an item. */
export async function remove(terms: SecurityTerms, item: ItemName): Promise<Answer> {
  const done = readingOf(await ask(terms, deleteCommand(item, terms.keychain)));
  return done.outcome === 'READY' ? { outcome: 'READY', detail: 'deleted' } : done;
}

/** Composes the command that prints a secret. Pure. */
export function findCommand(item: ItemName, keychain?: string): string {
  return line(['find-generic-password', ...named(item), '-w', ...file(keychain)]);
}

/**
 * Composes the command that stores a secret, in the place of one of that name; readable without a question for `security` and for
 * the Node that runs keytar. Pure.
 */
export function addCommand(item: ItemName, text: string, node: string, keychain?: string): string {
  const trusted = ['-T', EXECUTABLE, '-T', node];
  const label = ['-l', `${item.service}/${item.account}`];
  return line(['add-generic-password', '-U', ...named(item), ...label, ...trusted, '-w', text, ...file(keychain)]);
}

/** Composes the command that deletes an item. Pure. */
export function deleteCommand(item: ItemName, keychain?: string): string {
  return line(['delete-generic-password', ...named(item), ...file(keychain)]);
}

/** Reads what `security -i` said. Its exit code is the last command's; where it is not, stderr has `returned 44`. Pure. */
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

/** Quotes a word as the shell-like reader of `security -i` takes it. A line end would begin another command. */
function quoted(word: string): string {
  if (/\p{Cc}/u.test(word)) throw new RangeError('a word for security has a control character');
  return /^[\w./+=-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`;
}
