import type { CofferError } from '../errors.ts';
import type { Notice } from '../live/notice.ts';
import { describeBytes } from './output/amounts.ts';
import { countMessages } from './output/rows.ts';

/** Maximum length shown of a path at which there is no file. */
const PATH_SHOWN = 200;

/** Describes a notice in one or more lines. */
export function describeNotice(notice: Notice): string[] {
  switch (notice.kind) {
    case 'moved':
      return [`session moved from ${notice.from || 'no directory'} to ${notice.to}`];
    case 'works-in':
      return [`tools work in ${notice.directory}, the directory of this session`];
    case 'directory-gone':
      return [`${describeGone(notice.directory)}, so tools are off; use --here to continue in ${notice.here}`];
    case 'agents-used':
      return [`using AGENTS.md of this directory (${describeBytes(notice.bytes)})`];
    case 'agents-left-out':
      return [`AGENTS.md not used: ${notice.error.message}`];
    case 'model-missing':
      return [`${notice.error.message}; choose another with /model <name>`];
    case 'left-unsaved':
      return [`last step of the previous conversation not saved: ${notice.error.message}`];
    case 'unmarked':
      return [`saved, but ${notice.error.message}`];
    case 'attached':
      return [`attached ${notice.files.map(({ name, bytes }) => `${name} (${describeBytes(bytes)})`).join(', ')}`];
    case 'not-attached':
      return [describeMissing(notice.paths)];
    case 'wait':
      return [`${notice.error.what}; trying again in ${Math.ceil(notice.seconds)} s`];
    case 'refused':
      return [`${notice.model} does not support ${notice.what}; continuing without them`];
    case 'context':
      return [describeContext(notice)];
    case 'compacted':
      return [describeCompacted(notice.compacted, notice.keepMessages)];
    case 'not-compacted':
      return [`not summarised, nothing changed: ${notice.error.message}`, ...saidBy(notice.error)];
  }
}

/** Describes the result of a compaction. */
export function describeCompacted({ messages }: { readonly messages: number }, keepMessages: number): string {
  if (messages === 0) {
    return `nothing to summarise: the newest ${countMessages(keepMessages)} are always kept (keepMessages)`;
  }
  return `summarised ${countMessages(messages)} to free context; saved history is unchanged`;
}

/** Returns the message that the directory of a session is gone. */
export function describeGone(directory: string): string {
  return `the directory of this session, ${directory}, is gone`;
}

/** Returns the provider's own text about an error as a line, if there is one. */
export function saidBy({ said }: CofferError): string[] {
  return said === undefined ? [] : [`the provider says: ${said}`];
}

function describeMissing([first = '', ...more]: readonly string[]): string {
  const path = first.length > PATH_SHOWN ? `${first.slice(0, PATH_SHOWN).toWellFormed()}…` : first;
  return `file not found: ${path}${more.length === 0 ? '' : ` and ${more.length} more`}; sent as text only`;
}

function describeContext({ tokens, window, refused }: Extract<Notice, { kind: 'context' }>): string {
  if (refused) return "the conversation exceeds the model's context window: summarising older messages";
  const share = Math.round((tokens / window) * 100);
  const [used, most] = [tokens, window].map((count) => count.toLocaleString('en-US'));
  return `the context uses ${used} of ${most} tokens (${share} %): summarising older messages`;
}
