import type { PromptContent } from '../chat/loop.ts';
import type { Approve, ToolSession } from '../chat/tools/toolbox.ts';
import type { FilePart } from '../session/event/attachment.ts';
import type { Notice } from './notice.ts';
import type { Workplace } from './workplace.ts';

/** `@path` at the beginning or after a blank; blanks in a path are escaped, or it is in double quotes. */
const NAMED = /(?<=^|\s)@(?:"([^"\0\n]+)"|((?:\\[^\0\n]|[^\s\\"\0])+))/gu;

/** Punctuation that may follow a path in a sentence. */
const PUNCTUATION = ".,;:!?)]}'»";

/** How files are attached. */
export interface AttachParts {
  readonly session: ToolSession;
  readonly workplace: Workplace;
  /** If undefined, whatever needs an approval is denied. */
  readonly approve: Approve | undefined;
  readonly signal: AbortSignal;
  notify(notice: Notice): void;
}

/**
 * Attaches the files that a prompt names with `@path`; a path without a file remains text. Reading
 * them needs the same permission as if the model read them. Throws why a file can't be attached, and
 * `CANCELLED`: the prompt must not be sent then.
 */
export async function attachFiles(text: string, { workplace, notify, ...given }: AttachParts): Promise<PromptContent> {
  const paths = namedPaths(text);
  if (paths.length === 0) return text;
  const missing: string[] = [];
  const tools = await workplace.tools();
  const { ATTACHMENT_LIMIT } = await import('../chat/tools/attach.ts');
  const files: FilePart[] = [];
  let room = ATTACHMENT_LIMIT;
  for (const candidates of paths) {
    let file: FilePart | undefined;
    for (const path of candidates) file ??= await tools.attach(path, { ...given, attached: files, room });
    if (file === undefined) missing.push(candidates.at(-1) ?? '');
    else if (!files.includes(file)) {
      files.push(file);
      room -= sizeOf(file);
    }
  }
  // A word like `@alice` is hardly a mistyped path.
  const mistyped = missing.filter((path) => /[./]/.test(path));
  if (mistyped.length > 0) notify({ kind: 'not-attached', paths: mistyped });
  if (files.length === 0) return text;
  notify({ kind: 'attached', files: files.map((file) => ({ name: file.filename ?? '', bytes: sizeOf(file) })) });
  return [{ type: 'text', text }, ...files];
}

/** Returns the paths that a text names, each with the ways in which it may be meant. */
function namedPaths(text: string): string[][] {
  const named = new Map<string, string[]>();
  for (const [whole, quoted, plain = ''] of text.matchAll(NAMED)) {
    const path = quoted ?? plain.replaceAll(/\\(.)/gu, '$1');
    const trimmed = quoted ?? withoutPunctuation(path);
    named.set(whole, trimmed === path || trimmed === '' ? [path] : [path, trimmed]);
  }
  return [...named.values()];
}

/** Removes punctuation from the end. A regular expression would be quadratic in a run of dots. */
function withoutPunctuation(path: string): string {
  let end = path.length;
  while (end > 0 && PUNCTUATION.includes(path.charAt(end - 1))) end--;
  return path.slice(0, end);
}

function sizeOf({ data }: FilePart): number {
  return Buffer.byteLength(data, 'base64');
}
