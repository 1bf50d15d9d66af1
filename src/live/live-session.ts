import type { ChatModel } from '../chat/models/models.ts';
import type { RetryWait } from '../chat/reply.ts';
import type { Approve } from '../chat/tools/toolbox.ts';
import { CofferError, isCofferError } from '../errors.ts';
import type { NewEvent } from '../session/event/event.ts';
import type { Surroundings } from '../session/project/project.ts';
import type { Session } from '../session/session.ts';
import type { State } from '../session/state.ts';
import type { Settings } from '../settings/settings.ts';
import type { RecordChange } from './change.ts';
import { Feed } from './feed.ts';
import type { LiveParts, SessionHost } from './host/session-host.ts';
import type { Workplace } from './host/workplace.ts';
import { Jobs } from './jobs.ts';
import type { Command, Live, LiveEvent, Result, SentPrompt, Snapshot } from './live.ts';
import type { FrontEnd } from './question.ts';
import { approver, Questions } from './questions.ts';
import { Recorder } from './recorder.ts';

/** A live session that runs in this process. */
export class LiveSession implements Live {
  readonly #host: SessionHost;
  readonly #feed: Feed;
  readonly #questions: Questions;
  readonly #jobs: Jobs;
  #session: Session;
  #workplace: Workplace;
  #model: ChatModel | undefined;
  #isUnplaced: boolean;
  #reply = '';

  constructor({ host, session, workplace, model, isUnplaced }: LiveParts) {
    this.#host = host;
    this.#session = session;
    this.#workplace = workplace;
    this.#model = model;
    this.#isUnplaced = isUnplaced;
    const isRecorded = session.fileId !== undefined;
    this.#feed = new Feed(() => this.#record, isRecorded ? session.state.lastEvent : 0);
    this.#questions = new Questions((event) => this.#feed.publish(event));
    this.#jobs = new Jobs((error) => this.#feed.fail(error));
  }

  /** The session itself, for code in this process that reads its record. */
  get session(): Session {
    return this.#session;
  }

  get workplace(): Workplace {
    return this.#workplace;
  }

  get settings(): Settings {
    return this.#workplace.settings;
  }

  get model(): ChatModel | undefined {
    return this.#model;
  }

  /** Whether the conversation has begun and its project is still unknown. */
  get isUnplaced(): boolean {
    return this.#isUnplaced && !this.isBlank;
  }

  /** Whether nothing was said or saved yet, so that the session can still be replaced. */
  get isBlank(): boolean {
    return this.#session.id === undefined && this.#session.state.messageCount === 0;
  }

  async snapshot(): Promise<Snapshot> {
    const { uuid, id, fileId, state } = this.#session;
    const { kept } = this.#host;
    return {
      uuid,
      id,
      fileId,
      state,
      kept,
      unsaved: kept === 'memory' ? undefined : this.#session.unsaved,
      model: this.#model?.name,
      directory: this.#workplace.directory,
      lastEvent: this.#feed.settled,
      running: this.#jobs.isRunning,
      queued: this.#jobs.waiting,
      reply: this.#reply,
      questions: this.#questions.open,
    };
  }

  events(after?: number, signal?: AbortSignal): AsyncIterable<LiveEvent> {
    return this.#feed.subscribe(after ?? this.#session.state.lastEvent, signal);
  }

  async send<C extends Command>(command: C): Promise<Result<C>> {
    return (await this.#carryOut(command)) as Result<C>;
  }

  async #carryOut(command: Command): Promise<unknown> {
    switch (command.type) {
      case 'SendMessage':
        return this.#prompt(command);
      case 'ApproveToolCall':
        return this.#questions.answer(command.ask, command.scope);
      case 'DenyToolCall':
        return this.#questions.answer(command.ask, command.scope === 'once' ? 'deny' : 'always');
      case 'AnswerQuestion':
        return this.#questions.answer(command.ask, command.answer);
      case 'Cancel':
        return this.#jobs.cancel();
      case 'ChooseModel':
        await this.chooseModel(command.model, this.#front);
        return { model: this.#model?.name };
      case 'Save':
        return this.#session.save(command.name);
      case 'Compact':
        return this.#compact();
      case 'Shutdown':
        return this.close();
      default:
        return this.#change(command);
    }
  }

  /**
   * Replaces the model, and records that. Throws `MODEL_UNKNOWN`, `MODEL_KEY_MISSING`,
   * `MODEL_ELSEWHERE` and `SETTINGS_INVALID`.
   */
  async chooseModel(name: string, front: FrontEnd): Promise<void> {
    const { openModel } = await import('../chat/models/models.ts');
    const { env, maySend } = this.#host;
    const model = await openModel(name, { ...this.settings, env });
    const { requireMaySend } = await import('./host/elsewhere.ts');
    await requireMaySend(this.#session.state, model.name, { settings: this.settings, front, maySend });
    this.#model = model;
    if (this.#session.state.model === model.name) return;
    if (this.isBlank) this.#begin(model.name);
    else await this.#recorder.record({ type: 'model', model: model.name });
  }

  /** Opens the model that the session last used. If it isn't available, notifies the user. */
  async restoreModel(front: FrontEnd): Promise<void> {
    const name = this.#session.state.model;
    if (this.#model?.name === name) return;
    try {
      await this.chooseModel(name, front);
    } catch (error) {
      if (!isCofferError(error)) throw error;
      this.#model = undefined;
      front.notify({ kind: 'model-missing', error });
    }
  }

  /** Replaces a blank session by one with the host's current instructions. */
  reinstruct(): void {
    const { model, permissions } = this.#session.state;
    if (this.isBlank) this.#begin(model, permissions);
  }

  /** Records the project of the session's directory. Must not be called during a turn. */
  async place(surroundings: Surroundings): Promise<void> {
    const { project } = surroundings;
    if (project === undefined || !this.#isUnplaced) return;
    this.#isUnplaced = false;
    const { model, permissions } = this.#session.state;
    if (this.isBlank) this.#begin(model, permissions);
    else await this.#recorder.record({ type: 'project', project });
  }

  /** Records an event about the session, such as that another one continues it. */
  async note(event: NewEvent): Promise<void> {
    await this.#recorder.record(event);
  }

  /**
   * Cancels the running turn, withdraws the open questions, saves and closes the session, and ends
   * every subscription, even if saving fails. Throws `NOT_SAVED`.
   */
  async close(): Promise<void> {
    this.#questions.withdraw();
    await this.#jobs.stop();
    try {
      if (this.#host.kept === 'sealed') await this.#session.close();
    } finally {
      this.#feed.settle(this.#session.state.lastEvent);
      this.#feed.publish({ type: 'bye', status: this.#session.state.status });
      this.#feed.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Saves synchronously, for a process that is exiting. Idempotent. Throws `NOT_SAVED`. */
  finalSave(): void {
    if (this.#host.kept === 'sealed') this.#session.finalSave();
  }

  get #record(): { events: Session['events']; isDurable(id: number): boolean } {
    const { events, unsaved } = this.#session;
    const end = this.#host.kept === 'sealed' ? (unsaved?.firstEvent ?? Number.POSITIVE_INFINITY) : 0;
    return { events, isDurable: (id) => id < end };
  }

  get #recorder(): Recorder {
    return new Recorder(this.#session, this.#feed);
  }

  /** The session's clients as one front end, for functions that ask or notify the user. */
  get #front(): FrontEnd {
    return {
      attended: this.#host.attended,
      ask: (inquiry, signal) => this.#questions.ask(inquiry, signal),
      notify: (notice) => this.#feed.publish({ type: 'notice', notice }),
    };
  }

  #begin(model: string, permissions?: State['permissions']): void {
    const begun = this.#host.beginning(model, permissions);
    this.#session = begun.session;
    this.#workplace = begun.workplace;
    this.#isUnplaced = begun.isUnplaced;
  }

  async #prompt(prompt: SentPrompt): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const publish = (event: LiveEvent): void => this.#publish(event);
    const drop = (error: CofferError): void => {
      publish({ type: 'idle', tag: prompt.tag, outcome: 'unsent', text: false, error });
      reject(error);
    };
    const run = async (signal: AbortSignal): Promise<void> => {
      const { answerPrompt } = await import('./turn.ts');
      const parts = { session: this.#session, feed: this.#feed, model, workplace: this.#workplace };
      await answerPrompt(prompt, { ...parts, approve: this.#approve, signal, publish, resolve, reject });
      this.#reply = '';
    };
    let model: ChatModel;
    try {
      model = this.#requireModel();
      this.#jobs.add({ run, drop });
    } catch (error) {
      if (!isCofferError(error)) throw error;
      drop(error);
    }
    await promise;
  }

  #publish(event: LiveEvent): void {
    if (event.type === 'delta') this.#reply = this.#reply.slice(0, event.at) + event.text;
    this.#feed.publish(event);
  }

  get #approve(): Approve | undefined {
    return this.#host.attended ? approver(this.#session, this.#questions) : undefined;
  }

  async #compact(): Promise<unknown> {
    const model = this.#requireModel();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const run = async (signal: AbortSignal): Promise<void> => {
      const { compact } = await import('../chat/compact.ts');
      const { keepMessages } = this.settings;
      const onWait = ({ seconds, error }: RetryWait): void => this.#front.notify({ kind: 'wait', seconds, error });
      await compact(this.#recorder, model, { keepMessages, signal, onWait }).then(resolve, reject);
    };
    this.#jobs.add({ run, drop: reject });
    return promise;
  }

  async #change(command: RecordChange): Promise<unknown> {
    if (this.#jobs.isRunning) {
      throw new CofferError('FAILED', 'a reply is still running', { advice: 'wait until it ends, or cancel it' });
    }
    const { carryOut } = await import('./change.ts');
    const { session } = this;
    return carryOut(command, { session, recorder: this.#recorder, workplace: this.#workplace, feed: this.#feed });
  }

  #requireModel(): ChatModel {
    if (this.#model !== undefined) return this.#model;
    throw new CofferError('MODEL_UNKNOWN', 'no model selected', { advice: 'choose one with /model <name>' });
  }
}
