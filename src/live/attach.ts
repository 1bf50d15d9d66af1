import type { PromptContent } from '../chat/loop.ts';
import type { Approve, ToolSession } from '../chat/tools/toolbox.ts';
import type { FilePart } from '../session/event/attachment.ts';
import type { Workplace } from './host/workplace.ts';
import type { Notice } from './notice.ts';

/**
 * A path named with `@path`, at the beginning or after a blank. A path with blanks is in double
 * quotes, or its blanks are escaped with backslashes.
 */
const NAMED = /(?<=^|\s)@(?:"([^"\0\n]+)"|((?:\\[^\0\n]|[^\s\\"\0])+))/gu;

/** Punctuation that may follow a path in a sentence. */
const PUNCTUATION = ".,;:!?)]}'»";

/** The parts of a live session that attaching files needs. */
export interface AttachParts {
  readonly session: ToolSession;
  readonly workplace: Workplace;
  /** Asks the user for approval. If undefined, whatever needs an approval is denied. */
  readonly approve: Approve | undefined;
  readonly signal: AbortSignal;
  notify(notice: Notice): void;
}

/**
 * Returns a prompt with the files that it names with `@path` attached. A path at which there is no
 * file remains text. Reading a file needs the same permission as if the model read it. If this
 * throws, the prompt must not be sent: a `CofferError` with the reason why a file can't be
 * attached, or `CANCELLED`.
 */
export async function attachFiles(text: string, { workplace, notify, ...given }: AttachParts): Promise<PromptContent> {
  const paths = namedPaths(text);
  if (paths.length === 0) return text;
  const missing: string[] = [];
  const tools = await workplace.tools();
  const { ATTACHMENT_LIMIT } = await import('../chat/tools/files/attach.ts');
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
  // Only report words that look like paths: `@alice` is hardly a mistyped one.
  const mistyped = missing.filter((path) => /[./]/.test(path));
  if (mistyped.length > 0) notify({ kind: 'not-attached', paths: mistyped });
  if (files.length === 0) return text;
  notify({ kind: 'attached', files: files.map((file) => ({ name: file.filename ?? '', bytes: sizeOf(file) })) });
  return [{ type: 'text', text }, ...files];
}

/**
 * Returns the paths that a text names. Each is a list of candidates: the path as written and, if it
 * ends in punctuation, without that.
 */
function namedPaths(text: string): string[][] {
  const named = new Map<string, string[]>();
  for (const [whole, quoted, plain = ''] of text.matchAll(NAMED)) {
    const path = quoted ?? plain.replaceAll(/\\(.)/gu, '$1');
    const trimmed = quoted ?? withoutPunctuation(path);
    named.set(whole, trimmed === path || trimmed === '' ? [path] : [path, trimmed]);
  }
  return [...named.values()];
}

/**
 * Removes trailing punctuation. Not a regular expression, which would take quadratic time on a run
 * of dots.
 */
function withoutPunctuation(path: string): string {
  let end = path.length;
  while (end > 0 && PUNCTUATION.includes(path.charAt(end - 1))) end--;
  return path.slice(0, end);
}

function sizeOf({ data }: FilePart): number {
  return Buffer.byteLength(data, 'base64');
}
