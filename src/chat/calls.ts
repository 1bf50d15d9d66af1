import type { Message, NewEvent } from '../session/event/event.ts';
import type { Call, ReplySession } from './arriving.ts';
import { outputText } from './context.ts';
import type { Approve, ToolBox, ToolSession } from './tools/toolbox.ts';

/** What came of a call. */
export interface CallEnd {
  readonly call: Call;
  readonly outcome: Extract<NewEvent, { type: 'tool-end' }>['outcome'];
  /** What the model is told. */
  readonly text: string;
  /** It was denied because nobody was there to ask. */
  readonly unattended: boolean;
}

/** What the calls of a reply are run with. */
export interface CallOptions {
  /** Without it every call is denied. */
  readonly tools: Pick<ToolBox, 'run'> | undefined;
  readonly approve: Approve | undefined;
  readonly onCall: (call: Call) => void;
  readonly onCallEnd: (end: CallEnd) => void;
}

/**
 * Runs the calls of a reply one after another; each has its result in the record then, whatever happens. What a final save would add in
 * the meantime, as `session.draft`, are the results of those that are not done. Throws what is a fault of the program.
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
        await open.record(...rest.flatMap((each) => notBegun(each, 'cancelled', CANCELLED)));
        for (const each of rest) onCallEnd(open.endOf(each));
        return;
      }
      onCall(call);
      if (tools === undefined) await open.record(...notBegun(call, 'denied', 'denied: no tools are offered here'));
      else await tools.run(call, open, approve, signal);
      onCallEnd(open.endOf(call));
    }
  } finally {
    await open.close();
  }
}

/** The end of a call that was never begun, and its result. */
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

const CANCELLED = 'cancelled by the person before it was begun';

/** A session in which calls wait for their results: it keeps the draft in step with what is recorded. */
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

  // The draft changes in the same turn of the event loop as the record: a final save finds each result once.
  record(...events: NewEvent[]): Promise<void> {
    for (const event of events) this.#note(event, events);
    this.#session.draft = this.#draft();
    return this.#session.record(...events);
  }

  endOf(call: Call): CallEnd {
    const end = this.#ends.get(call.toolCallId) ?? { outcome: 'failed' as const, text: '' };
    return { call, ...end, unattended: this.#unattended.has(call.toolCallId) };
  }

  /** Records what is left without a result. */
  async close(): Promise<void> {
    const rest = this.#session.draft;
    this.#session.draft = undefined;
    if (rest !== undefined) await this.#session.record(rest);
  }

  #note(event: NewEvent, beside: readonly NewEvent[]): void {
    if (event.type === 'approval-answered' && event.by === 'nobody') this.#unattended.add(event.toolCallId);
    if (event.type !== 'message' || event.message.role !== 'tool') return;
    for (const { toolCallId, output } of event.message.content) {
      const end = beside.find((other) => other.type === 'tool-end' && other.toolCallId === toolCallId);
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

const INTERRUPTED = 'interrupted: the chat ended before this was done';

function resultOf(toolCallId: string, toolName: string, value: string): Extract<Message, { role: 'tool' }> {
  const output = { type: 'error-text', value };
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] };
}
