import type { Message, NewEvent } from '../session/event/event.ts';
import type { Call, ReplySession } from './arriving.ts';
import { outputText } from './context.ts';
import type { Approve, ToolBox, ToolSession } from './tools/toolbox.ts';

/** The result of a call. */
export interface CallEnd {
  readonly call: Call;
  readonly outcome: Extract<NewEvent, { type: 'tool-end' }>['outcome'];
  /** The text that the model receives. */
  readonly text: string;
  /** Whether it was denied because no user was present to answer. */
  readonly unattended: boolean;
}

/** Options of {@link runCalls}. */
export interface CallOptions {
  /** If undefined, every call is denied. */
  readonly tools: Pick<ToolBox, 'run'> | undefined;
  readonly approve: Approve | undefined;
  readonly onCall: (call: Call) => void;
  readonly onCallEnd: (end: CallEnd) => void;
}

/**
 * Runs the calls of a reply one after another. Every call has a result in the record when this
 * returns or throws. Until then `session.draft` holds results for the unfinished calls, for a final
 * save to record. Throws errors that are a bug in the program.
 */
export async function runCalls(
  session: ReplySession,
  calls: readonly Call[],
  { tools, approve, onCall, onCallEnd }: CallOptions,
  signal: AbortSignal,
): Promise<void> {
  const open = new OpenCalls(session, calls);
  try {
    for (const [at, call] of calls.entries()) {
      if (signal.aborted) {
        const rest = calls.slice(at);
        await open.record(...rest.flatMap((each) => notBegun(each, 'cancelled', NOT_BEGUN)));
        for (const each of rest) onCallEnd(open.endOf(each));
        return;
      }
      onCall(call);
      if (tools === undefined) await open.record(...notBegun(call, 'denied', 'denied: no tools are available here'));
      else await tools.run(call, open, approve, signal);
      onCallEnd(open.endOf(call));
    }
  } finally {
    await open.close();
  }
}

/** Returns the end event of a call that never started, and its result. */
export function notBegun(
  { toolCallId, toolName }: Call,
  outcome: 'denied' | 'cancelled',
  text: string,
): [NewEvent, NewEvent] {
  return [
    { type: 'tool-end', toolCallId, toolName, outcome, bytes: Buffer.byteLength(text) },
    { type: 'message', message: resultOf(toolCallId, toolName, text) },
  ];
}

const NOT_BEGUN = 'cancelled by the user before it began';

/** A session with unfinished calls. Keeps the draft in step with what is recorded. */
class OpenCalls implements ToolSession {
  readonly #session: ReplySession;
  readonly #calls: readonly Call[];
  readonly #ends: Map<string, { outcome: CallEnd['outcome']; text: string }> = new Map();
  readonly #unattended: Set<string> = new Set();

  constructor(session: ReplySession, calls: readonly Call[]) {
    this.#session = session;
    this.#calls = calls;
    session.draft = this.#draft();
  }

  get state(): ToolSession['state'] {
    return this.#session.state;
  }

  // The draft changes in the same turn of the event loop as the record, so that a final save finds
  // each result once.
  record(...events: NewEvent[]): Promise<void> {
    for (const event of events) this.#note(event, events);
    this.#session.draft = this.#draft();
    return this.#session.record(...events);
  }

  endOf(call: Call): CallEnd {
    const end = this.#ends.get(call.toolCallId) ?? { outcome: 'failed' as const, text: '' };
    return { call, ...end, unattended: this.#unattended.has(call.toolCallId) };
  }

  /** Records results for the calls that have none. */
  async close(): Promise<void> {
    const rest = this.#session.draft;
    this.#session.draft = undefined;
    if (rest !== undefined) await this.#session.record(rest);
  }

  #note(event: NewEvent, step: readonly NewEvent[]): void {
    if (event.type === 'approval-answered' && event.by === 'nobody') this.#unattended.add(event.toolCallId);
    if (event.type !== 'message' || event.message.role !== 'tool') return;
    for (const { toolCallId, output } of event.message.content) {
      const end = step.find((other) => other.type === 'tool-end' && other.toolCallId === toolCallId);
      const outcome = end?.type === 'tool-end' ? end.outcome : 'failed';
      this.#ends.set(toolCallId, { outcome, text: outputText(output) });
    }
  }

  #draft(): NewEvent | undefined {
    const rest = this.#calls.filter(({ toolCallId }) => !this.#ends.has(toolCallId));
    if (rest.length === 0) return undefined;
    const results = rest.flatMap(({ toolCallId, toolName }) => resultOf(toolCallId, toolName, INTERRUPTED).content);
    return { type: 'message', message: { role: 'tool', content: results } };
  }
}

const INTERRUPTED = 'interrupted: the chat ended before this finished';

function resultOf(toolCallId: string, toolName: string, value: string): Extract<Message, { role: 'tool' }> {
  const output = { type: 'error-text', value };
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] };
}
