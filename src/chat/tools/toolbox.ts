import { CofferError, isCofferError } from '../../errors.ts';
import type { FilePart } from '../../session/event/attachment.ts';
import type { Approval, NewEvent } from '../../session/event/event.ts';
import { permissionEvent } from '../../session/permissions.ts';
import type { Session } from '../../session/session.ts';
import { defaultPermissions, type PermissionSettings } from '../permissions.ts';
import { isForModel } from './access/place.ts';
import { rulesNow } from './access/rules.ts';
import { runCommand } from './command/command.ts';
import { planAttachment, requireFits } from './files/attach.ts';
import { editFile } from './files/edit.ts';
import { listFiles } from './files/list.ts';
import { readFile } from './files/read.ts';
import { searchFiles } from './files/search.ts';
import { writeFile } from './files/write.ts';
import type { Tool, ToolPlan, ToolScope } from './tool.ts';

/** A tool call from a model. */
export interface ToolCall {
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: unknown;
}

/** The question that the user must answer before a call does anything. */
export interface ApprovalRequest extends Pick<ToolPlan, 'rule' | 'about' | 'detail' | 'sandboxed'> {
  readonly toolCallId: string;
  readonly toolName: string;
}

/**
 * Asks the user for approval. Should give up when `signal` is aborted; the answer is ignored then.
 */
export type Approve = (request: ApprovalRequest, signal: AbortSignal) => Promise<Approval>;

/** A tool as it is offered to a model. */
export type ToolDefinition = Pick<Tool, 'name' | 'description' | 'inputSchema'>;

/** The members of a session that {@link ToolBox} uses. */
export type ToolSession = Pick<Session, 'record' | 'state'>;

/** Options of {@link ToolBox.attach}. */
export interface Attach {
  readonly session: ToolSession;
  /** Asks the user; if undefined, whatever needs an answer is denied. */
  readonly approve: Approve | undefined;
  readonly signal: AbortSignal;
  /** The files that are attached already. */
  readonly attached: readonly FilePart[];
  /** The most bytes that another file may have. */
  readonly room: number;
}

/** The tools of a chat: their definitions, and the only way to run a model's calls. */
export class ToolBox {
  readonly #place: ToolScope;
  readonly #permissions: PermissionSettings;

  constructor(parts: { place: ToolScope; permissions?: PermissionSettings | undefined }) {
    this.#place = parts.place;
    this.#permissions = parts.permissions ?? defaultPermissions;
  }

  /** The tools to offer to a model. */
  get definitions(): readonly ToolDefinition[] {
    return tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  }

  /**
   * Runs a call if it is allowed, and records its start, the question and answer, and as one step
   * its end and the message with its result. An invalid call, a denial by the user or a rule, and
   * an abort of `signal` become results for the model, not errors. `approve` is called if no rule
   * decides; if it is undefined, the call is denied. Throws bugs in the program and errors of
   * `approve`, after recording a result.
   */
  async run(call: ToolCall, session: ToolSession, approve: Approve | undefined, signal: AbortSignal): Promise<void> {
    const { toolCallId, toolName } = call;
    await session.record({ type: 'tool-start', toolCallId, toolName });
    let ending: Ending;
    try {
      ending = await this.#attempt(call, session, approve, signal);
    } catch (error) {
      await session.record(
        ...endOf(call, { outcome: 'failed', text: `${toolName} failed because of an internal error` }),
      );
      throw error;
    }
    await session.record(...endOf(call, ending));
  }

  /**
   * Reads a file named in a prompt, unless it is attached already. A rule must allow the model to
   * read it or, if none decides, the user must; question and answer are recorded. Returns undefined
   * if there is no file at that path. Throws `FAILED` if it can't be attached, and `CANCELLED`.
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
      requireFits(attaching, room);
      const { plan } = attaching;
      const call = { toolCallId: 'attach', toolName: 'this prompt', input: { path } };
      const decision = rules.decide(plan);
      const refusal =
        decision === 'ask'
          ? await ask(call, plan, place.directory, session, approve, signal)
          : await applyRule(call, plan, session, decision === 'deny');
      if (refusal === undefined) return await attaching.read(room);
      if (signal.aborted) throw new CofferError('CANCELLED', 'cancelled');
      throw new CofferError('FAILED', `${path} is not attached`, { reason: refusal.text });
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      // Such a path can't name anything.
      if (['ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(code)) return undefined;
      throw unreadableError(path, error);
    }
  }

  /**
   * Reads a text file of the working directory that the model gets before the conversation;
   * undefined if it doesn't exist, or rules deny reading it. Throws `FAILED` if it lies elsewhere,
   * can't be read, is not text or has more than 64 KiB.
   */
  async readText(name: string, session: ToolSession): Promise<{ path: string; text: string } | undefined> {
    try {
      return await this.#readText(name, session);
    } catch (error) {
      throw unreadableError(name, error);
    }
  }

  async #readText(name: string, session: ToolSession): Promise<{ path: string; text: string } | undefined> {
    const attaching = await planAttachment(name, this.#place);
    if (attaching === undefined) return undefined;
    requireFits(attaching, INSTRUCTIONS_LIMIT);
    const { plan } = attaching;
    if (plan.rule !== 'read') throw new CofferError('FAILED', `${name} leads outside the working directory`);
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
      return { outcome: 'failed', text: `unknown tool ${call.toolName}; available: ${known}` };
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
        : await applyRule(call, plan, session, decision === 'deny');
    if (refusal !== undefined) return refusal;
    const done = await attempt(signal, () => plan.run(signal));
    if ('outcome' in done) return done;
    const outcome = done.cancelled ? 'cancelled' : done.failed ? 'failed' : 'completed';
    return { outcome, text: done.text };
  }
}

/** Turns a system error into a one-line `FAILED`; returns any other error unchanged. */
function unreadableError(path: string, error: unknown): unknown {
  if (isCofferError(error) || !isForModel(error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  return new CofferError('FAILED', `${path} can't be read`, { reason: code, cause: error });
}

/** Largest file of instructions in a directory, in bytes. */
const INSTRUCTIONS_LIMIT = 64 * 1024;

const tools: readonly Tool[] = [readFile, listFiles, searchFiles, writeFile, editFile, runCommand];

/** The outcome of a call, and the text that the model receives. */
interface Ending {
  readonly outcome: Extract<NewEvent, { type: 'tool-end' }>['outcome'];
  readonly text: string;
}

const CANCELLED: Ending = { outcome: 'cancelled', text: 'cancelled by the user before it finished' };

/** Runs one stage of a call; turns an error that is meant for the model into an ending. */
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
  { rule, about, detail, sandboxed }: ToolPlan,
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
    return { outcome: 'denied', text: `denied: no user is present to allow it, and no rule does (${rule})` };
  }
  const kept = answer === 'session' ? 'allow' : answer === 'always' ? 'deny' : undefined;
  const unsandboxed = sandboxed === false;
  const permission = kept === undefined ? [] : [permissionEvent({ rule, decision: kept, directory, unsandboxed })];
  await session.record({ ...answered, answer, by: 'person' }, ...permission);
  if (answer === 'once' || answer === 'session') return undefined;
  const duration = answer === 'always' ? ' for the rest of this session' : '';
  return { outcome: 'denied', text: `denied by the user${duration} (${rule})` };
}

/** Records a denial by a rule. A rule that allows is already in the record. */
async function applyRule(
  { toolCallId }: ToolCall,
  { rule }: ToolPlan,
  session: ToolSession,
  denied: boolean,
): Promise<Ending | undefined> {
  if (!denied) return undefined;
  await session.record({ type: 'approval-answered', toolCallId, rule, answer: 'deny', by: 'rule' });
  return { outcome: 'denied', text: `denied by a rule of the user (${rule})` };
}

/**
 * Resolves with the user's answer, or with undefined once the signal is aborted, whatever becomes
 * of the question.
 */
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
    asked.catch(() => undefined); // after an abort, nothing waits for the question any more
  }
}

function endOf({ toolCallId, toolName }: ToolCall, { outcome, text }: Ending): [NewEvent, NewEvent] {
  const output = { type: outcome === 'completed' ? 'text' : 'error-text', value: text };
  return [
    { type: 'tool-end', toolCallId, toolName, outcome, bytes: Buffer.byteLength(text) },
    { type: 'message', message: { role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] } },
  ];
}
