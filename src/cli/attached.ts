import type { PromptContent } from '../chat/loop.ts';
import type { FilePart } from '../session/event/attachment.ts';
import { describeBytes } from '../terminal/amounts.ts';
import { approverOf, boxOf } from './approve.ts';
import type { Chat } from './chat.ts';

/** `@path` behind a blank or at the beginning; blanks in a path are escaped by a backslash, or the path is in double quotes. */
const NAMED = /(?<=^|\s)@(?:"([^"\0\n]+)"|((?:\\[^\0\n]|[^\s\\"\0])+))/gu;

/** What may follow a path in a sentence. */
const PUNCTUATION = ".,;:!?)]}'»";

/** How much of a path is shown where nothing is. */
const SHOWN = 200;

/**
 * Attaches the files that a prompt names with `@path`; a path where nothing is stays text. They are allowed, or asked for, like what the model
 * reads. Throws why one can't be attached: the prompt is not to be sent then. `running` is aborted if the user ends the question.
 */
export async function attachFiles(chat: Chat, text: string, running: AbortController): Promise<PromptContent> {
  const paths = namedPaths(text);
  if (paths.length === 0) return text;
  const missing: string[] = [];
  const box = await boxOf(chat);
  const { ATTACHMENT_LIMIT } = await import('../chat/tools/attach.ts');
  const approve = approverOf(chat, () => running.abort());
  const files: FilePart[] = [];
  let room = ATTACHMENT_LIMIT;
  for (const candidates of paths) {
    let file: FilePart | undefined;
    for (const path of candidates) {
      file ??= await box.attach(path, {
        session: chat.session,
        approve,
        signal: running.signal,
        attached: files,
        room,
      });
    }
    if (file === undefined) missing.push(candidates.at(-1) ?? '');
    else if (!files.includes(file)) {
      files.push(file);
      room -= sizeOf(file);
    }
  }
  tellMissing(chat, missing);
  if (files.length === 0) return text;
  const names = files.map((file) => `${file.filename} (${describeBytes(sizeOf(file))})`);
  chat.terminal.tell(`attached ${names.join(', ')}`);
  return [{ type: 'text', text }, ...files];
}

/** Tells which paths have no file. A word like `@alice` is hardly a mistyped path, and left alone. */
function tellMissing({ terminal }: Chat, missing: readonly string[]): void {
  const [first, ...more] = missing.filter((path) => /[./]/.test(path));
  if (first === undefined) return;
  const path = first.length > SHOWN ? `${first.slice(0, SHOWN).toWellFormed()}…` : first;
  terminal.tell(`no file ${path}${more.length === 0 ? '' : ` and ${more.length} more`} to attach: sent as text only`);
}

/** The paths that a text names, each with the ways in which it may be meant. */
function namedPaths(text: string): string[][] {
  const named = new Map<string, string[]>();
  for (const [whole, quoted, plain = ''] of text.matchAll(NAMED)) {
    const path = quoted ?? plain.replaceAll(/\\(.)/gu, '$1');
    const trimmed = quoted ?? withoutPunctuation(path);
    named.set(whole, trimmed === path || trimmed === '' ? [path] : [path, trimmed]);
  }
  return [...named.values()];
}

/** From the end, letter by letter: a pattern would look at each run of dots in the path once for every dot. */
function withoutPunctuation(path: string): string {
  let end = path.length;
  while (end > 0 && PUNCTUATION.includes(path.charAt(end - 1))) end--;
  return path.slice(0, end);
}

function sizeOf({ data }: FilePart): number {
  return Buffer.byteLength(data, 'base64');
}
