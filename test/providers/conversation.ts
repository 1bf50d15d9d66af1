import { compact } from '../../src/chat/compact.ts';
import { type TurnOptions, turn } from '../../src/chat/loop.ts';
import { type ChatModel, openModel, type ProviderSettings } from '../../src/chat/models/models.ts';
import { cutAfter, rewindOf } from '../../src/session/change/fork.ts';
import type { Event, Message, NewEvent } from '../../src/session/event/event.ts';
import { Recorder } from '../chat/recorder.ts';
import { type ProviderServer, USE_TOOLS } from './server.ts';

/** Opens the model of a scripted server. */
export function openDialect(server: ProviderServer): Promise<ChatModel> {
  const { id } = server.dialect;
  return openModel(`${id}/m`, { providers: { [id]: settingsOf(server) }, env: { SCRIPTED_KEY: 'scripted' } });
}

/** Returns the coffer settings for a scripted server. */
export function settingsOf({ dialect: { protocol }, baseURL }: ProviderServer): ProviderSettings {
  const type = protocol === 'openai' ? 'openai-compatible' : protocol;
  return { type, baseURL, apiKeyEnv: 'SCRIPTED_KEY', allowInsecure: true, maxOutputTokens: 10_000 };
}

/** A conversation between two models, run step by step. */
export class Conversation {
  session: Recorder = new Recorder();

  /**
   * Sends a prompt to a model and expects its whole reply. Switches to the model first if the
   * session has another.
   */
  async say(model: ChatModel, text: string): Promise<void> {
    if (this.session.state.model !== model.name) await this.session.record({ type: 'model', model: model.name });
    const { outcome, error } = await turn(this.session, model, text, quiet, new AbortController().signal, options);
    if (outcome !== 'completed') throw error ?? new Error(outcome);
  }

  /** Sends a prompt that makes the model call two tools at once, then one more. */
  useTools(model: ChatModel): Promise<void> {
    return this.say(model, USE_TOOLS);
  }

  /** Records messages that an import or a killed process would leave behind. */
  async leave(...messages: Message[]): Promise<void> {
    await this.session.record(...messages.map((message): NewEvent => ({ type: 'message', message })));
  }

  async compact(model: ChatModel): Promise<void> {
    const { messages } = await compact(this.session, model, { keepMessages: 4 });
    if (messages === 0) throw new Error('nothing was summarised');
  }

  /** Continues in a new session with all but the last `count` prompts, like a fork. */
  async fork(count: number): Promise<void> {
    const { prompts } = rewindOf(this.session.state, 1);
    const of = rewindOf(this.session.state, prompts).of;
    await this.#restart(cutAfter(this.#events, of - count).events);
  }

  /** Takes back the last prompt. */
  async rewind(): Promise<void> {
    const { event } = rewindOf(this.session.state);
    if (event === undefined) throw new Error('nothing to take back');
    await this.session.record(event);
  }

  /** Continues in a new session object with the events as read from a file. */
  async resume(): Promise<void> {
    await this.#restart(JSON.parse(JSON.stringify(this.#events)) as Event[]);
  }

  get #events(): Event[] {
    return this.session.steps.flat().map((event, at) => ({ ...event, id: at + 1, ts: 1 }));
  }

  async #restart(events: readonly Event[]): Promise<void> {
    this.session = new Recorder();
    for (const { id: _, ts: __, ...event } of events) await this.session.record(event as NewEvent);
  }
}

const quiet = { onText: () => undefined };

/** Offers one tool, whose file never exists. */
const options: TurnOptions = {
  tools: {
    definitions: [
      {
        name: 'read_file',
        description: 'reads a file',
        inputSchema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
      },
    ],
    async run({ toolCallId, toolName, input }, session) {
      const value = `text of ${Reflect.get(Object(input), 'path')}`;
      const output = { type: 'text', value };
      await session.record(
        { type: 'tool-start', toolCallId, toolName },
        { type: 'tool-end', toolCallId, toolName, outcome: 'completed', bytes: value.length },
        {
          type: 'message',
          message: { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] },
        },
      );
    },
  },
};
