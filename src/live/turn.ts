import { type CallEnd, type PromptContent, type TurnEvents, type TurnResult, turn } from '../chat/loop.ts';
import type { ChatModel } from '../chat/models/models.ts';
import type { Approve } from '../chat/tools/toolbox.ts';
import { isCofferError } from '../errors.ts';
import type { NewEvent } from '../session/event/event.ts';
import type { Session } from '../session/session.ts';
import type { Feed } from './feed.ts';
import type { Workplace } from './host/workplace.ts';
import type { LiveEvent, SentPrompt } from './live.ts';
import type { Notice } from './notice.ts';
import { Recorder } from './recorder.ts';

/** The parts of a live session that answering a prompt needs. */
interface TurnParts {
  readonly session: Session;
  readonly feed: Feed;
  readonly model: ChatModel;
  readonly workplace: Workplace;
  /** Asks the user for approval. If undefined, whatever needs an approval is denied. */
  readonly approve: Approve | undefined;
  readonly signal: AbortSignal;
  publish(event: LiveEvent): void;
  /** Called once the prompt is recorded. */
  resolve(): void;
  /** Called with the error that prevented the prompt from being sent. */
  reject(error: unknown): void;
}

/**
 * Answers a prompt, and publishes the events of the turn, `idle` last. Throws only on a fault of
 * the program.
 */
export async function answerPrompt({ text, tag }: SentPrompt, parts: TurnParts): Promise<void> {
  const { feed, publish, resolve, reject } = parts;
  let isRecorded = false;
  const session = new Recorder(parts.session, feed, (events) => {
    if (!events.some(isPrompt)) return;
    isRecorded = true;
    resolve();
  });
  try {
    const { outcome, error, ...reply } = await runTurn(text, session, parts);
    publish({ type: 'idle', tag, outcome, text: reply.text !== '', ...(error && { error }) });
  } catch (error) {
    reject(error);
    if (isRecorded || !isCofferError(error)) throw error;
    publish({ type: 'idle', tag, outcome: 'unsent', text: false, error });
  }
}

function isPrompt(event: NewEvent): boolean {
  return event.type === 'message' && event.message.role === 'user';
}

async function runTurn(text: string, session: Recorder, parts: TurnParts): Promise<TurnResult> {
  const { model, signal, approve, workplace } = parts;
  const prompt = await promptOf(text, session, parts);
  const tools = model.refuses.has('tools') ? undefined : await workplace.offeredTools();
  const { maxMessages, saveInterval, maxTurns, maxToolCalls, autoCompactAt, keepMessages } = workplace.settings;
  const limits = { maxMessages, saveInterval, maxTurns, maxToolCalls, autoCompactAt, keepMessages };
  return turn(session, model, prompt, eventsOf(parts), signal, { ...limits, tools, approve });
}

/** Returns the prompt with its files attached. If it throws, the prompt must not be sent. */
async function promptOf(
  text: string,
  session: Recorder,
  { workplace, approve, signal, publish }: TurnParts,
): Promise<PromptContent> {
  if (!text.includes('@')) return text;
  const { attachFiles } = await import('./attach.ts');
  return attachFiles(text, {
    session,
    workplace,
    approve,
    signal,
    notify: (notice) => publish({ type: 'notice', notice }),
  });
}

function eventsOf({ model, workplace, publish }: TurnParts): TurnEvents {
  const { keepMessages } = workplace.settings;
  const notify = (notice: Notice): void => publish({ type: 'notice', notice });
  let length = 0;
  let isThinking = false;
  return {
    onText(text) {
      publish({ type: 'delta', at: length, text });
      length += text.length;
    },
    onReasoning() {
      if (!isThinking) publish({ type: 'thinking' });
      isThinking = true;
    },
    onReplyEnd() {
      length = 0;
      isThinking = false;
    },
    onCall: (call) => publish({ type: 'call', call }),
    onCallEnd: (end) => publish(callEnd(end)),
    onWait: ({ seconds, error }) => notify({ kind: 'wait', seconds, error }),
    onRefused: (what) => notify({ kind: 'refused', model: model.name, what }),
    onContextWarning: (context) => notify({ kind: 'context', ...context }),
    onCompacted: (compacted) => notify({ kind: 'compacted', compacted, keepMessages }),
    onCompactionFailed: (error) => notify({ kind: 'not-compacted', error }),
  };
}

function callEnd({ call, outcome, unattended, text }: CallEnd): LiveEvent {
  const reason = outcome === 'failed' ? { reason: reasonIn(text) } : {};
  return { type: 'call-end', call, outcome, unattended, ...reason };
}

/** Returns why a call failed: the bracketed text at the end of a command's output, or all of it. */
function reasonIn(text: string): string {
  const [, ending] = /\[([^\]\n]+)\]\s*$/.exec(text) ?? [];
  return ending === undefined ? text.trim() : ending.replace('exit status', 'exit');
}
