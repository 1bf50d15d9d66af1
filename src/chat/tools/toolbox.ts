import { CofferError, isCofferError } from '../../errors.ts';
import type { FilePart } from '../../session/event/attachment.ts';
import type { Approval, NewEvent } from '../../session/event/event.ts';
import { permissionEvent } from '../../session/permissions.ts';
import type { Session } from '../../session/session.ts';
import { defaultPermissions, type PermissionSettings } from '../permissions.ts';
import { planAttachment, requireRoom } from './attach.ts';
import { runCommand } from './command.ts';
import { editFile } from './edit.ts';
import { listFiles } from './list.ts';
import { isForModel } from './place.ts';
import { readFile } from './read.ts';
import { rulesNow } from './rules.ts';
import { searchFiles } from './search.ts';
import type { Place, Plan, Tool } from './tool.ts';
import { writeFile } from './write.ts';

/** What a model asked for. */
export interface ToolCall {
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: unknown;
}

/** What a person is asked before a call does anything. */
export interface ApprovalRequest extends Pick<Plan, 'rule' | 'about' | 'detail' | 'sandboxed'> {
  readonly toolCallId: string;
  readonly toolName: string;
}

/** Asks a person. Should give up when `signal` is aborted; nobody listens any more then. */
export type Approve = (request: ApprovalRequest, signal: AbortSignal) => Promise<Approval>;

/** A tool as a model is told of it. */
export type ToolDefinition = Pick<Tool, 'name' | 'description' | 'inputSchema'>;

/** What a call needs of a session. */
export type ToolSession = Pick<Session, 'record' | 'state'>;

/** What attaching a file takes. */
export interface Attach {
  readonly session: ToolSession;
  /** Asks the user; if undefined, whatever needs an answer is denied. */
  readonly approve: Approve | undefined;
  readonly signal: AbortSignal;
  /** The files that are attached already. */
  readonly attached: readonly FilePart[];
  /** The most bytes that another one may have. */
  readonly room: number;
}

/** The tools of a chat: what they are, and the one way in which a call of a model becomes a deed. */
export class ToolBox {
  readonly #place: Place;
  readonly #permissions: PermissionSettings;

  constructor(parts: { place: Place; permissions?: PermissionSettings | undefined }) {
    this.#place = parts.place;
    this.#permissions = parts.permissions ?? defaultPermissions;
  }

  /** What a model is offered. */
  get definitions(): readonly ToolDefinition[] {
    return tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  }

  /**
   * Does what a call asks for, if it may, and records it: its start, what was asked and answered, and as one step its end with the
   * message that has the result. Whatever is wrong with a call, a person or a rule that says no, and an abort of `signal` are results
   * for the model and not errors. `approve` is asked where no rule decides; where it is not given nobody is there, and that is a no.
   * Throws what is a fault of the program, and what `approve` throws, with a result recorded before.
   */
  async run(call: ToolCall, session: ToolSession, approve: Approve | undefined, signal: AbortSignal): Promise<void> {
    const { toolCallId, toolName } = call;
    await session.record({ type: 'tool-start', toolCallId, toolName });
    let ending: Ending;
    try {
      ending = await this.#attempt(call, session, approve, signal);
    } catch (error) {
      await session.record(...endOf(call, { outcome: 'failed', text: `${toolName} failed by a fault of the program` }));
      throw error;
    }
    await session.record(...endOf(call, ending));
  }

  /**
   * Reads a file that a prompt names, unless it is attached already, if a rule allows the model to read it or, where none decides, the user does; what was asked and answered
   * is recorded. Undefined if no file is at that path. Throws `FAILED` saying why it can't be attached, and `CANCELLED`.
   */
  async attach(path: string, given: Attach): Promise<FilePart | undefined> {
    const { session, approve, signal, attached, room } = given;
    try {
      if (signal.aborted) throw new CofferError('CANCELLED', 'cancelled');
      const rules = await rulesNow(session.state.permissions, this.#permissions, this.#place);
      const place = { ...this.#place, denied: rules.denied, granted: rules.granted };
      const attaching = await planAttachment(path, place);
      if (attaching === undefined) return undefined;
      const before = attached.find(({ filename }) => filename === attaching.shown);
      if (before !== undefined) return before;
      requireRoom(attaching, room);
      const { plan } = attaching;
      const call = { toolCallId: 'attach', toolName: 'this prompt', input: { path } };
      const decision = rules.decide(plan);
      const refusal =
        decision === 'ask'
          ? await ask(call, plan, place.directory, session, approve, signal)
          : await obey(call, plan, session, decision === 'deny');
      if (refusal === undefined) return await attaching.read(room);
      if (signal.aborted) throw new CofferError('CANCELLED', 'cancelled');
      throw new CofferError('FAILED', `${path} is not attached`, { reason: refusal.text });
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (['ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(code)) return undefined; // it can't be the path of anything
      throw unreadable(path, error);
    }
  }

  /**
   * Reads a text file of the working directory that is told to the model before anything is said; undefined if nothing is there, or rules
   * deny reading it. Throws `FAILED` for what lies elsewhere, can't be read, is no text or has more than 64 KiB.
   */
  async readText(name: string, session: ToolSession): Promise<{ path: string; text: string } | undefined> {
    try {
      return await this.#readText(name, session);
    } catch (error) {
      throw unreadable(name, error);
    }
  }

  async #readText(name: string, session: ToolSession): Promise<{ path: string; text: string } | undefined> {
    const attaching = await planAttachment(name, this.#place);
    if (attaching === undefined) return undefined;
    requireRoom(attaching, INSTRUCTIONS_LIMIT);
    const { plan } = attaching;
    if (plan.rule !== 'read') throw new CofferError('FAILED', `${name} leads out of the working directory`);
    const rules = await rulesNow(session.state.permissions, this.#permissions, this.#place);
    if (rules.decide(plan) === 'deny') return undefined;
    const { data, mediaType } = await attaching.read(INSTRUCTIONS_LIMIT);
    if (mediaType !== 'text/plain') throw new CofferError('FAILED', `${name} is not a text file`);
    return { path: plan.path ?? name, text: Buffer.from(data, 'base64').toString() };
  }

  async #attempt(
    call: ToolCall,
    session: ToolSession,
    approve: Approve | undefined,
    signal: AbortSignal,
  ): Promise<Ending> {
    const tool = tools.find(({ name }) => name === call.toolName);
    if (signal.aborted) return CANCELLED;
    if (tool === undefined) {
      const known = tools.map(({ name }) => name).join(', ');
      return { outcome: 'failed', text: `there is no tool ${call.toolName}, there are ${known}` };
    }
    const rules = await rulesNow(session.state.permissions, this.#permissions, this.#place);
    const plan = await attempt(signal, () =>
      tool.plan(call.input, { ...this.#place, denied: rules.denied, granted: rules.granted }),
    );
    if ('outcome' in plan) return plan;
    if (plan.fault && rules.decide({ ...plan, rule: plan.rule.replace(/^write/, 'read') }) === 'allow') {
      return { outcome: 'failed', text: plan.fault.message };
    }
    const decision = rules.decide(plan);
    const refusal =
      decision === 'ask'
        ? await ask(call, plan, this.#place.directory, session, approve, signal)
        : await obey(call, plan, session, decision === 'deny');
    if (refusal !== undefined) return refusal;
    const done = await attempt(signal, () => plan.run(signal));
    if ('outcome' in done) return done;
    const outcome = done.cancelled ? 'cancelled' : done.failed ? 'failed' : 'completed';
    return { outcome, text: done.text };
  }
}

/** What the system answers as an error that says so in one line; anything else as it is. */
function unreadable(path: string, error: unknown): unknown {
  if (isCofferError(error) || !isForModel(error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  return new CofferError('FAILED', `${path} can't be read`, { reason: code, cause: error });
}

/** How many bytes of instructions a directory may have for a model. */
const INSTRUCTIONS_LIMIT = 64 * 1024;

const tools: readonly Tool[] = [readFile, listFiles, searchFiles, writeFile, editFile, runCommand];

/** How a call ended, and what the model is told of it. */
interface Ending {
  readonly outcome: Extract<NewEvent, { type: 'tool-end' }>['outcome'];
  readonly text: string;
}

const CANCELLED: Ending = { outcome: 'cancelled', text: 'cancelled by the person before it was done' };

/** Does one part of a call; what the model has to be told comes back as its ending. */
async function attempt<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T | Ending> {
  try {
    return await act();
  } catch (error) {
    if (signal.aborted && (isCofferError(error, 'CANCELLED') || error === signal.reason)) return CANCELLED;
    if (isForModel(error)) return { outcome: 'failed', text: error.message };
    throw error;
  }
}

async function ask(
  { toolCallId, toolName }: ToolCall,
  { rule, about, detail, sandboxed }: Plan,
  directory: string,
  session: ToolSession,
  approve: Approve | undefined,
  signal: AbortSignal,
): Promise<Ending | undefined> {
  await session.record({ type: 'approval-asked', toolCallId, rule, about });
  const request = {
    ...{ toolCallId, toolName, rule, about },
    ...(detail === undefined ? {} : { detail }),
    ...(sandboxed === undefined ? {} : { sandboxed }),
  };
  const answer = approve && (await answerOr(signal, approve(request, signal)));
  const answered = { type: 'approval-answered', toolCallId, rule } as const;
  if (answer === undefined) {
    await session.record({ ...answered, answer: 'deny', by: 'nobody' });
    if (signal.aborted) return CANCELLED;
    return { outcome: 'denied', text: `denied: nobody is there to allow it, and no rule does (${rule})` };
  }
  const kept = answer === 'session' ? 'allow' : answer === 'always' ? 'deny' : undefined;
  const unsandboxed = sandboxed === false;
  const permission = kept === undefined ? [] : [permissionEvent({ rule, decision: kept, directory, unsandboxed })];
  await session.record({ ...answered, answer, by: 'person' }, ...permission);
  if (answer === 'once' || answer === 'session') return undefined;
  const forGood = answer === 'always' ? ', now and in the rest of this session' : '';
  return { outcome: 'denied', text: `denied by the person${forGood} (${rule})` };
}

/** A rule that allows is in the record already; that one forbade this call is said in it. */
async function obey(
  { toolCallId }: ToolCall,
  { rule }: Plan,
  session: ToolSession,
  denied: boolean,
): Promise<Ending | undefined> {
  if (!denied) return undefined;
  await session.record({ type: 'approval-answered', toolCallId, rule, answer: 'deny', by: 'rule' });
  return { outcome: 'denied', text: `denied by a rule the person has made (${rule})` };
}

/** What a person answers, or undefined once the signal is aborted, whatever becomes of the question then. */
async function answerOr(signal: AbortSignal, asked: Promise<Approval>): Promise<Approval | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const abort = (): void => resolve(undefined);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, asked]);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    asked.catch(() => undefined); // a question that fails after the abort has nobody who waits for it
  }
}

function endOf({ toolCallId, toolName }: ToolCall, { outcome, text }: Ending): [NewEvent, NewEvent] {
  const output = { type: outcome === 'completed' ? 'text' : 'error-text', value: text };
  return [
    { type: 'tool-end', toolCallId, toolName, outcome, bytes: Buffer.byteLength(text) },
    { type: 'message', message: { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] } },
  ];
}
