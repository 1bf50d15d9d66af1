import { createHash } from 'node:crypto';
import type { Body, Message } from './wire.ts';

/** A kind of request that a real server refuses. */
export interface Rule {
  /** The refused request, in words for docs/models.md. */
  readonly refused: string;
  /** The way coffer avoids the refusal, or retries without the refused part. */
  readonly coffer: string;
  /** The documentation or public report of the rule. */
  readonly source: string;
  /** Tells whether a request breaks the rule. */
  readonly breaks: (body: Body) => boolean;
  /** A request that breaks this rule and no other. */
  readonly example: Body;
  /** Default: 400. */
  readonly status?: number;
  /** The text of the refusal that coffer recognises, for a rule it can't know in advance. */
  readonly says?: string;
}

/** The content of a reply that a server sends. */
export interface Reply {
  readonly reasoning: string;
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly input: Readonly<Record<string, string>> }[];
}

/** A provider's variant of a protocol. */
export interface Dialect {
  /** The provider's name in coffer's settings. */
  readonly id: string;
  /** The provider's usual name. */
  readonly title: string;
  readonly protocol: 'openai' | 'anthropic' | 'ollama';
  /** Whether it usually runs on the user's machine. */
  readonly local: boolean;
  /** The form of its reasoning and of its call ids, in words for docs/models.md. */
  readonly reasoning: string;
  readonly ids: string;
  readonly rules: readonly Rule[];
  /** Returns the events of a streamed reply. */
  write(reply: Reply): object[];
}

/** Returns a server's signature of its reasoning: a changed text has the wrong signature. */
export function sign(dialect: string, text: string): string {
  return createHash('sha256').update(`${dialect}\n${text}`).digest('base64');
}

/**
 * Returns the path that a scripted server asks to read, by which it recognises its own calls in a
 * conversation.
 */
export function pathOf(dialect: string, number: number): string {
  return `${dialect}-${number}.txt`;
}

/** Tells whether a message has calls made by this dialect. */
export function isOwn(dialect: string, { tool_calls = [] }: Message): boolean {
  return tool_calls.some((called) => called.function.arguments.includes(`"${dialect}-`));
}

let count = 0;

/** Returns the number of the next call in this process. */
export function nextCall(): number {
  return ++count;
}
