import { formatRule, parseRule, ruleForm } from '../chat/permissions.ts';
import { CofferError } from '../errors.ts';
import { rewindOf } from '../session/change/fork.ts';
import { type MarkChange, type Marks, markOf } from '../session/change/marks.ts';
import { providersOf, redactionOf, redactSession } from '../session/change/redact.ts';
import { isDecided, permissionEvent } from '../session/permissions.ts';
import type { Session } from '../session/session.ts';
import type { Feed } from './feed.ts';
import type { Workplace } from './host/workplace.ts';
import type { Command, Result } from './live.ts';
import type { Recorder } from './recorder.ts';

/** A command that changes the record of a session without asking a model. */
export type RecordChange = Extract<
  Command,
  { type: 'Mark' | 'Rewind' | 'Redact' | 'SetPermission' | 'RevokePermission' }
>;

/** The parts of a live session that such a command acts on. */
interface Target {
  readonly session: Session;
  readonly recorder: Recorder;
  readonly workplace: Workplace;
  readonly feed: Feed;
}

/**
 * Carries out a change. When it resolves, the change is durable, or reported by `session.unsaved`.
 * Throws `USAGE`, `NAME_INVALID`, and for a redaction `NOT_SAVED`.
 */
export async function carryOut(command: RecordChange, target: Target): Promise<Result<RecordChange>> {
  switch (command.type) {
    case 'Mark':
      return mark(command.mark, target);
    case 'Rewind':
      return rewind(command.prompts, target);
    case 'Redact':
      return redact(command.text, target);
    case 'SetPermission':
      return setPermission(command.decision, command.rule, target);
    case 'RevokePermission':
      await target.recorder.record({
        type: 'permission',
        decision: 'revoke',
        rule: command.rule,
        directory: command.directory,
      });
      return undefined;
  }
}

async function mark(change: MarkChange, { recorder }: Target): Promise<{ changed: boolean; marks: Marks }> {
  const event = markOf(change)(recorder.state);
  if (event !== undefined) await recorder.record(event);
  return { changed: event !== undefined, marks: recorder.state };
}

async function rewind(prompts: number | undefined, { recorder }: Target): Promise<Result<{ type: 'Rewind' }>> {
  const planned = rewindOf(recorder.state, prompts);
  if (planned.event !== undefined) await recorder.record(planned.event);
  return planned;
}

async function redact(text: string, { session, feed }: Target): Promise<Result<Extract<Command, { type: 'Redact' }>>> {
  const before = [...session.events];
  const changed = await redactSession(session, redactionOf(text));
  if (changed > 0) feed.publish({ type: 'rewritten' });
  return { changed, providers: changed > 0 ? providersOf(before) : [] };
}

async function setPermission(
  decision: 'allow' | 'deny',
  wanted: string,
  { recorder, workplace }: Target,
): Promise<{ rule: string; already: boolean }> {
  const named = ruleOf(wanted);
  const { realRule } = await import('../chat/tools/access/rules.ts');
  const rule = decision === 'allow' ? await realRule(named) : named;
  const permission = {
    rule,
    decision,
    directory: workplace.directory,
    unsandboxed: workplace.settings.sandbox === 'off',
  };
  const already = isDecided(recorder.state.permissions, permission);
  if (!already) await recorder.record(permissionEvent(permission));
  return { rule, already };
}

function ruleOf(text: string): string {
  const rule = parseRule(text);
  if (rule === undefined) {
    throw new CofferError('USAGE', `"${text}" is not a valid rule`, { advice: `rules are ${ruleForm}` });
  }
  return formatRule(rule);
}
