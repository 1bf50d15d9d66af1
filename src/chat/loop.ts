import { CofferError, isCofferError } from '../errors.ts';
import type { Message, Part } from '../session/event/event.ts';
import { type Arrived, ArrivingReply, type Call, faultOf, type ReplySession } from './arriving.ts';
import { type CallEnd, notBegun, runCalls } from './calls.ts';
import { type Compacted, compact, isOver } from './compact.ts';
import { contextOf, tokensOf } from './context.ts';
import type { ChatModel, OfferedTool, RetryWait } from './reply.ts';
import type { Approve, ToolBox } from './tools/toolbox.ts';

export type { Call } from './arriving.ts';
export type { CallEnd } from './calls.ts';
export type { Approve } from './tools/toolbox.ts';

/**
 * Receives the events of a turn, in order. If a callback throws, the reply is recorded like one
 * that broke off, and the error is rethrown.
 */
export interface TurnEvents {
  onText(delta: string): void;
  onReasoning?(delta: string): void;
  /** A whole reply has arrived. If it calls tools, they run next and another reply follows. */
  onReplyEnd?(): void | Promise<void>;
  onCall?(call: Call): void;
  onCallEnd?(end: CallEnd): void;
  /**
   * The provider refused the request for now, with `error`. It is retried in `seconds` unless the
   * turn is cancelled.
   */
  onWait?(wait: RetryWait): void;
  /**
   * The model does not support tools, or images and PDFs. They are left out of its requests from
   * now on.
   */
  onRefused?(what: 'tools' | 'files'): void;
  /**
   * The context exceeds the configured share of the window, or the model `refused` it as too long.
   * A compaction follows.
   */
  onContextWarning?(context: { tokens: number; window: number; refused: boolean }): void;
  onCompacted?(compacted: Compacted): void;
  /** The summary failed; the turn continues without it. */
  onCompactionFailed?(error: CofferError): void;
}

/**
 * The outcome of a turn. `text` is the text of the last reply, as far as it arrived; `error` is set
 * if the turn failed.
 */
export type TurnResult = Pick<Arrived, 'outcome' | 'text' | 'error'>;

/** Options of {@link turn}. */
export interface TurnOptions {
  /** Most messages to send, the newest; at least 1. All are recorded regardless. Default: all. */
  maxMessages?: number | undefined;
  /** Milliseconds between two saves of a reply that is still arriving. Default: 30,000. */
  saveInterval?: number | undefined;
  /** The tools that the model may call. Default: none. */
  tools?: Pick<ToolBox, 'definitions' | 'run'> | undefined;
  /** Asks the user to approve a call. If omitted, calls that need approval are denied. */
  approve?: Approve | undefined;
  /** Maximum model requests per turn. Default: 128. */
  maxTurns?: number | undefined;
  /** Maximum tool calls per turn. Default: 200. */
  maxToolCalls?: number | undefined;
  /** The share of the window above which older messages are summarised. Default: never. */
  autoCompactAt?: number | false | undefined;
  /** Number of newest messages that a summary leaves unchanged. Default: 50. */
  keepMessages?: number | undefined;
}

/** The content of a prompt: a text, or parts with files. */
export type PromptContent = Extract<Message, { role: 'user' }>['content'];

/** The members of a session that {@link turn} uses. */
export type TurnSession = ReplySession;

/**
 * Takes one turn: records the prompt as a step, asks the model, and records the reply and its usage
 * as a second step. If the reply calls tools, they are run, each as a step, and the model is asked
 * again with the results. Every call has a result, whether it was run, denied or cancelled. While a
 * reply arrives, `session.draft` is what a final save would add.
 *
 * A reply that breaks off or is cancelled by `signal` is recorded as far as it arrived, marked
 * `partial`; if it broke off, with an `error` event. If nothing arrived, no message is recorded. At
 * a limit the remaining calls are denied and the turn ends with `LIMIT_REACHED`. Once per turn, a
 * context that has grown too long is compacted before it is sent, or before it is sent again.
 *
 * Resolves for every outcome on the model's side; `session.unsaved` reports steps that could not be
 * saved. Throws RangeError for an option below 1.
 */
export async function turn(
  session: TurnSession,
  model: ChatModel,
  prompt: PromptContent,
  events: TurnEvents,
  signal: AbortSignal,
  options: TurnOptions = {},
): Promise<TurnResult> {
  checkOptions(options);
  const { maxTurns = 128, maxToolCalls = 200 } = options;
  await session.record({ type: 'message', message: { role: 'user', content: prompt } });
  await model.prepare?.(signal);
  let mayCompact = typeof options.autoCompactAt === 'number';
  for (let asked = 1, called = 0; ; asked++) {
    if (mayCompact && isOver(session.state, model, options.autoCompactAt)) {
      mayCompact = false;
      await makeRoom(session, model, events, signal, { ...options, refused: false });
    }
    const arrived = await ask(session, model, events, signal, { ...options, mayCompact });
    if (arrived === 'too long') {
      mayCompact = false;
      await makeRoom(session, model, events, signal, { ...options, refused: true });
      continue;
    }
    const { calls, ...result } = arrived;
    if (calls.length === 0) return result;
    await events.onReplyEnd?.();
    const room = asked < maxTurns ? maxToolCalls - called : 0;
    await runCalls(session, calls.slice(0, room), callOptions(events, options), signal);
    called += calls.length;
    if (calls.length > room) {
      const limit = asked < maxTurns ? ([maxToolCalls, 'tool calls', 'maxToolCalls'] as const) : undefined;
      return await endAtLimit(session, calls.slice(room), limit ?? [maxTurns, 'requests', 'maxTurns'], result.text);
    }
    if (signal.aborted) return { outcome: 'cancelled', text: result.text };
  }
}

function checkOptions(options: TurnOptions): void {
  const { saveInterval = 30_000 } = options;
  for (const name of ['maxMessages', 'maxTurns', 'maxToolCalls', 'keepMessages'] as const) {
    const value = options[name] ?? 1;
    if (!(value >= 1)) throw new RangeError(`${name} must be at least 1`);
  }
  if (!(saveInterval >= 1)) throw new RangeError('saveInterval must be at least 1 ms');
}

/**
 * Asks for one reply, and again without tools or files if the model refuses them. Returns 'too
 * long' instead of a failure if the context is too long and may still be compacted.
 */
async function ask(
  session: TurnSession,
  model: ChatModel,
  events: TurnEvents,
  signal: AbortSignal,
  options: TurnOptions & { mayCompact: boolean },
): Promise<Arrived | 'too long'> {
  const { maxMessages, saveInterval = 30_000 } = options;
  const tools = model.refuses.has('tools') ? undefined : options.tools?.definitions;
  const files = !model.refuses.has('files');
  const arriving = new ArrivingReply(session, model.name, saveInterval);
  const messages = contextOf(session.state, { maxMessages, tools: tools !== undefined, files, model: model.name });
  try {
    for await (const part of replyOf(model, messages, signal, tools)) {
      arriving.take(part);
      if (part.type === 'text') events.onText(part.text);
      if (part.type === 'reasoning') events.onReasoning?.(part.text);
      if (part.type === 'wait') events.onWait?.(part);
    }
  } catch (error) {
    if (signal.aborted && isCofferError(error, 'CANCELLED')) return await arriving.breakOff('cancelled');
    if (isCofferError(error)) {
      if (error.code === 'CONTEXT_TOO_LONG') {
        model.contextWindow = Math.min(model.contextWindow, Math.ceil(tokensOf(session.state) * ACCEPTED_SHARE));
        if (options.mayCompact && arriving.isEmpty) return 'too long';
      }
      const refused = refusedPart(error, { tools: tools !== undefined, files: files && messages.some(hasFile) });
      if (refused === undefined || !arriving.isEmpty) return await arriving.breakOff('failed', error);
      model.refuses.add(refused);
      events.onRefused?.(refused);
      return await ask(session, model, events, signal, options);
    }
    await arriving.breakOff('failed');
    throw error;
  }
  return await arriving.complete();
}

/** The share of a refused context that the model is assumed to accept. */
const ACCEPTED_SHARE = 0.9;

/**
 * Returns which part of the request the model refused, so that it can be asked without it;
 * undefined if neither.
 */
function refusedPart({ code }: CofferError, sent: { tools: boolean; files: boolean }): 'tools' | 'files' | undefined {
  if (code === 'TOOLS_UNSUPPORTED' && sent.tools) return 'tools';
  return code === 'FILES_UNSUPPORTED' && sent.files ? 'files' : undefined;
}

function hasFile({ content }: Message): boolean {
  const parts: readonly Part[] = typeof content === 'string' ? [] : content;
  return parts.some(({ type }) => type === 'file');
}

function replyOf(
  model: ChatModel,
  messages: ReturnType<typeof contextOf>,
  signal: AbortSignal,
  tools: readonly OfferedTool[] | undefined,
): ReturnType<ChatModel['reply']> {
  return tools === undefined ? model.reply(messages, signal) : model.reply(messages, signal, tools);
}

function callOptions(events: TurnEvents, { tools, approve }: TurnOptions): Parameters<typeof runCalls>[2] {
  return {
    tools,
    approve,
    onCall: (call) => events.onCall?.(call),
    onCallEnd: (end) => events.onCallEnd?.(end),
  };
}

async function endAtLimit(
  session: TurnSession,
  rest: readonly Call[],
  [most, unit, setting]: readonly [number, string, string],
  text: string,
): Promise<TurnResult> {
  const limit = `a turn may have at most ${most} ${unit} (${setting})`;
  const error = new CofferError('LIMIT_REACHED', `${limit}: send another prompt to continue`);
  await session.record(...rest.flatMap((call) => notBegun(call, 'denied', `denied: ${limit}`)), faultOf(error));
  return { outcome: 'failed', text, error };
}

/**
 * Reports that the context is long and compacts it. If that fails, the turn continues with the
 * context as it is.
 */
async function makeRoom(
  session: TurnSession,
  model: ChatModel,
  events: TurnEvents,
  signal: AbortSignal,
  { keepMessages, refused }: TurnOptions & { refused: boolean },
): Promise<void> {
  const context = { tokens: tokensOf(session.state), window: model.contextWindow };
  await session.record({ type: 'context-warning', ...context });
  events.onContextWarning?.({ ...context, refused });
  try {
    const compacted = await compact(session, model, { keepMessages, signal, onWait: (wait) => events.onWait?.(wait) });
    events.onCompacted?.(compacted);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    if (!signal.aborted) events.onCompactionFailed?.(error);
  }
}
