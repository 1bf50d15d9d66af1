import { CofferError, isCofferError } from '../../errors.ts';
import type { Message } from '../../session/event/event.ts';
import type { ChatModel, OfferedTool, RetryWait } from '../reply.ts';
import { cancelled } from '../wire/faults.ts';

/** The abilities that a model has shown. */
export interface Checked {
  /** Whether the reply arrived in several parts. */
  readonly streaming: boolean;
  readonly reasoning: boolean;
  /** `unused`: the tool was accepted, but the model did not call it. */
  readonly tools: 'called' | 'unused' | CofferError;
  /** `accepted`: the model received the image, but did not say what it shows. */
  readonly images: 'seen' | 'accepted' | CofferError;
  /** Size of the context window in tokens, as far as it is known. */
  readonly contextWindow: number;
}

const TOOL: OfferedTool = {
  name: 'report',
  description: 'Reports a colour.',
  inputSchema: {
    type: 'object',
    properties: { colour: { type: 'string' } },
    required: ['colour'],
    additionalProperties: false,
  },
};

/** A PNG of 32 by 32 red pixels; some models refuse smaller ones. */
const RED =
  'iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAJ0lEQVR42u3NsQkAAAjAsP7/tF7hIASyp6lTCQQCgUAgEAgEgi/BAjLD/C5w/SM9AAAAAElFTkSuQmCC';

/**
 * Sends a model three short requests and returns what works: a reply, a tool call, an image. Throws
 * what the first request throws, `MODEL_FAILED` if its reply is empty (nothing works then), and
 * `CANCELLED` if `signal` is aborted.
 */
export async function checkModel(
  model: ChatModel,
  signal: AbortSignal,
  onWait?: (wait: RetryWait) => void,
): Promise<Checked> {
  const ask = (question: string | Message, tools?: readonly OfferedTool[]): Promise<Seen> =>
    seenOf(model, question, { signal, tools, onWait });
  await model.prepare?.(signal);
  const said = await ask('Count from 1 to 20, separated by spaces. Answer with the numbers only.');
  if (said.text.trim() === '') throw new CofferError('MODEL_FAILED', `${model.name} sent an empty reply`);
  const tools = await orError(signal, async () => {
    const { calls, reasoning } = await ask('Call the tool report with the colour red.', [TOOL]);
    return { is: calls > 0 ? ('called' as const) : ('unused' as const), reasoning };
  });
  const images = await orError(signal, async () => {
    const question: Message = {
      role: 'user',
      content: [
        { type: 'text', text: 'Which colour is this? Answer with one word.' },
        { type: 'file', mediaType: 'image/png', data: RED, filename: 'colour.png' },
      ],
    };
    const { text } = await ask(question);
    return /\bred\b/i.test(text) ? ('seen' as const) : ('accepted' as const);
  });
  return {
    streaming: said.parts > 1,
    reasoning: said.reasoning || (!isCofferError(tools) && tools.reasoning),
    tools: isCofferError(tools) ? tools : tools.is,
    images,
    contextWindow: model.contextWindow,
  };
}

async function orError<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T | CofferError> {
  try {
    return await work();
  } catch (error) {
    if (!isCofferError(error) || signal.aborted) throw error;
    return error;
  }
}

interface Seen {
  parts: number;
  text: string;
  reasoning: boolean;
  calls: number;
}

interface Asking {
  readonly signal: AbortSignal;
  readonly tools: readonly OfferedTool[] | undefined;
  readonly onWait: ((wait: RetryWait) => void) | undefined;
}

async function seenOf(model: ChatModel, question: string | Message, { signal, tools, onWait }: Asking): Promise<Seen> {
  const messages: Message[] = [typeof question === 'string' ? { role: 'user', content: question } : question];
  const seen = { parts: 0, text: '', reasoning: false, calls: 0 };
  const parts = tools === undefined ? model.reply(messages, signal) : model.reply(messages, signal, tools);
  for await (const part of parts) {
    if (part.type === 'text') {
      seen.parts++;
      seen.text += part.text;
    } else if (part.type === 'wait') onWait?.(part);
    else if (part.type === 'reasoning') seen.reasoning = true;
    else if (part.type === 'tool-call') seen.calls++;
  }
  if (signal.aborted) throw cancelled();
  return seen;
}
