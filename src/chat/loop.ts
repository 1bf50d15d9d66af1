import { CofferError, isCofferError } from '../errors.ts';
import type { Message, Part } from '../session/event/event.ts';
import { type Arrived, ArrivingReply, type Call, faultOf, type ReplySession } from './arriving.ts';
import { type CallEnd, notBegun, runCalls } from './calls.ts';
import { type Compacted, compact, isOver } from './compact.ts';
import { contextOf, tokensOf } from './context.ts';
import type { ChatModel, OfferedTool, Wait } from './reply.ts';
import type { Approve, ToolBox } from './tools/toolbox.ts';

export type { Call } from './arriving.ts';
export type { CallEnd } from './calls.ts';
export type { Approve } from './tools/toolbox.ts';

/** Told what arrives, in order. What these throw ends the turn as it is: recorded like a break, then thrown on. */
export interface TurnEvents {
  onText(delta: string): void;
  onReasoning?(delta: string): void;
  /** A whole reply has arrived; where it calls tools, they are run next, and another one follows. */
  onReplyEnd?(): void | Promise<void>;
  onCall?(call: Call): void;
  onCallEnd?(end: CallEnd): void;
  /** The provider refused the request for now, with `error`; it is made again in `seconds` unless the turn is cancelled. */
  onWait?(wait: Wait): void;
  /** The model takes no tools, or no images and PDFs: it is asked without them from now on. */
  onRefused?(what: 'tools' | 'files'): void;
  /** The context is over the share of the window that was set, or longer than the model takes, which then `refused` it; a compaction comes next. */
  onContextWarning?(context: { tokens: number; window: number; refused: boolean }): void;
  onCompacted?(compacted: Compacted): void;
  /** The summary failed, and the turn goes on without. */
  onCompactionFailed?(error: CofferError): void;
}

/** How a turn ended. `text` is what arrived of the last reply; `error` is there where it failed. */
export type TurnResult = Pick<Arrived, 'outcome' | 'text' | 'error'>;

/** What a turn may be told beside its words. */
export interface TurnOptions {
  /** How many messages are sent at most, the newest; at least 1. All are recorded whatever it says. */
  maxMessages?: number | undefined;
  /** Milliseconds between two saves of a reply that is still arriving; 30,000 unless given. */
  saveInterval?: number | undefined;
  /** What the model may call. */
  tools?: Pick<ToolBox, 'definitions' | 'run'> | undefined;
  /** Asks a person; without it nobody is there. */
  approve?: Approve | undefined;
  /** How often the model is asked at most; 128 unless given. */
  maxTurns?: number | undefined;
  /** How many tools are run at most; 200 unless given. */
  maxToolCalls?: number | undefined;
  /** The share of the window from which on older messages are summarised; never, unless given. */
  autoCompactAt?: number | false | undefined;
  /** How many of the newest messages a summary leaves as they are; 50 unless given. */
  keepMessages?: number | undefined;
}

/** What the user says: a text, or parts with files. */
export type PromptContent = Extract<Message, { role: 'user' }>['content'];

/** What a turn needs of a session. */
export type TurnSession = ReplySession;

/**
 * Takes one turn: records what the user says as a step, asks the model, and records the reply and what
 * it used as a second step. Where the reply calls tools, they are run, each a step, and the model is asked again with the results: every call
 * has one, whether it was run, denied or cancelled. While a reply arrives, `session.draft` is what a final save would add.
 * A reply that breaks or is cancelled by `signal` is recorded as far as it came, marked `partial`, a
 * break with its `error` event beside it; where nothing came, no message is recorded. At a limit the calls that are left are denied and the turn
 * ends with `LIMIT_REACHED`. Once in a turn a context that has grown too long is compacted before it is sent, or sent again. Resolves for
 * every outcome of the model's; steps that could not be saved are told by `session.unsaved`. Throws
 * RangeError for an option below 1.
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
    if (!(value >= 1)) throw new RangeError(`${name} is at least 1`);
  }
  if (!(saveInterval >= 1)) throw new RangeError('saveInterval is at least 1 ms');
}

/**
 * Asks for one reply, and again without tools or files if the model refuses them. A context that is too long is no failure yet where it
 * may be compacted.
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
        model.contextWindow = Math.min(model.contextWindow, Math.ceil(tokensOf(session.state) * LESS));
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

/** What a model is taken to accept of a context that it refused as too long. */
const LESS = 0.9;

/** What the model refused of what it was sent, so that it can be asked without; undefined if that was not it. */
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
  [most, of, setting]: readonly [number, string, string],
  text: string,
): Promise<TurnResult> {
  const limit = `one turn has at most ${most} ${of} (${setting})`;
  const error = new CofferError('LIMIT_REACHED', `${limit}, and this one ends here: say whether to go on`);
  await session.record(...rest.flatMap((call) => notBegun(call, 'denied', `denied: ${limit}`)), faultOf(error));
  return { outcome: 'failed', text, error };
}

/** Says that the context is long, and compacts it; where that fails the turn goes on with what there is. */
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
