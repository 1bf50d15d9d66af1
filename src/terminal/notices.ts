import type { CofferError } from '../errors.ts';
import type { Notice } from '../live/notice.ts';
import { describeBytes } from './amounts.ts';
import { countMessages } from './rows.ts';

/** How much is shown of a path that names no file. */
const PATH_SHOWN = 200;

/** Describes a notice, a line for each thing to say. */
export function describeNotice(notice: Notice): string[] {
  switch (notice.kind) {
    case 'moved':
      return [`this session was in ${notice.from || 'no directory'}; from now on it is in ${notice.to}`];
    case 'works-in':
      return [`tools work in ${notice.directory}, where this session was`];
    case 'directory-gone':
      return [`${describeGone(notice.directory)}: no tools; --here continues in ${notice.here}`];
    case 'agents-used':
      return [`with the AGENTS.md of this directory (${describeBytes(notice.bytes)})`];
    case 'agents-left-out':
      return [`AGENTS.md is left out: ${notice.error.message}`];
    case 'model-missing':
      return [`${notice.error.message}; /model <name> chooses another`];
    case 'left-unsaved':
      return [`the conversation before was left without its last step: ${notice.error.message}`];
    case 'unmarked':
      return [`saved, but ${notice.error.message}`];
    case 'attached':
      return [`attached ${notice.files.map(({ name, bytes }) => `${name} (${describeBytes(bytes)})`).join(', ')}`];
    case 'not-attached':
      return [describeMissing(notice.paths)];
    case 'wait':
      return [`${notice.error.what}; trying again in ${Math.ceil(notice.seconds)} s`];
    case 'refused':
      return [`${notice.model} takes no ${notice.what}; it is asked without them`];
    case 'context':
      return [describeContext(notice)];
    case 'compacted':
      return [describeCompacted(notice.compacted, notice.keepMessages)];
    case 'not-compacted':
      return [`not summarised, everything is as it was: ${notice.error.message}`, ...saidBy(notice.error)];
  }
}

/** Describes what a compaction did. */
export function describeCompacted({ messages }: { readonly messages: number }, keepMessages: number): string {
  if (messages === 0) {
    return `nothing to summarise: the newest ${countMessages(keepMessages)} stay as they are (keepMessages)`;
  }
  return `summarised ${countMessages(messages)} for the model; the record keeps them`;
}

/** Says that the directory of a session is gone. */
export function describeGone(directory: string): string {
  return `the directory of this session, ${directory}, is gone`;
}

/** What the provider said about an error, if anything. */
export function saidBy({ said }: CofferError): string[] {
  return said === undefined ? [] : [`the provider says: ${said}`];
}

function describeMissing([first = '', ...more]: readonly string[]): string {
  const path = first.length > PATH_SHOWN ? `${first.slice(0, PATH_SHOWN).toWellFormed()}…` : first;
  return `no file ${path}${more.length === 0 ? '' : ` and ${more.length} more`} to attach: sent as text only`;
}

function describeContext({ tokens, window, refused }: Extract<Notice, { kind: 'context' }>): string {
  if (refused) return 'the conversation is longer than the model takes: summarising older messages';
  const share = Math.round((tokens / window) * 100);
  const [used, most] = [tokens, window].map((count) => count.toLocaleString('en-US'));
  return `the context has ${used} of ${most} tokens (${share} %): summarising older messages`;
}
