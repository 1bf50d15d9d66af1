import { createHash } from 'node:crypto';
import type { Body, Message } from './wire.ts';

/** Something a real server refuses. */
export interface Rule {
  /** What is refused, in the words of docs/models.md. */
  readonly refused: string;
  /** What coffer does so that it isn't refused, or is asked for once more without it. */
  readonly coffer: string;
  /** The documentation or the public report that the rule is known from. */
  readonly source: string;
  /** Tells whether a request breaks the rule. */
  readonly breaks: (body: Body) => boolean;
  /** A request that breaks this rule and no other. */
  readonly example: Body;
  /** Default: 400. */
  readonly status?: number;
  /** The words of the refusal that coffer recognises, for a rule it can't know before. */
  readonly says?: string;
}

/** What a server is to answer. */
export interface Reply {
  readonly reasoning: string;
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly input: Readonly<Record<string, string>> }[];
}

/** One way of speaking a protocol. */
export interface Dialect {
  /** The provider's name in coffer's settings. */
  readonly id: string;
  /** As people know it. */
  readonly title: string;
  readonly protocol: 'openai' | 'anthropic' | 'ollama';
  /** It usually runs on the user's machine. */
  readonly local: boolean;
  /** How its reasoning arrives and its calls are named, in the words of docs/models.md. */
  readonly reasoning: string;
  readonly ids: string;
  readonly rules: readonly Rule[];
  /** The events of a streamed reply. */
  write(reply: Reply): object[];
}

/** What a server signs its reasoning with: whoever changes a word of it has the wrong signature. */
export function sign(dialect: string, text: string): string {
  return createHash('sha256').update(`${dialect}\n${text}`).digest('base64');
}

/** The path that a scripted server asks to read: it tells by it which calls in a conversation are its own. */
export function pathOf(dialect: string, number: number): string {
  return `${dialect}-${number}.txt`;
}

/** Tells whether a message has calls of its own dialect. */
export function isOwn(dialect: string, { tool_calls = [] }: Message): boolean {
  return tool_calls.some((called) => called.function.arguments.includes(`"${dialect}-`));
}

let count = 0;

/** The number of a call, in this process. */
export function nextCall(): number {
  return ++count;
}
