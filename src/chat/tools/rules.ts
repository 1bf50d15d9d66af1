import { type Decision, decide, formatRule, type PermissionSettings, parseRule } from '../permissions.ts';
import { realPath } from './place.ts';
import type { Plan } from './tool.ts';

/** The rules that hold for a call, with real paths in them: a directory is meant by whatever link somebody named it. */
export interface Rules {
  decide(plan: Pick<Plan, 'rule' | 'path'>): Decision;
  /** The directories that are denied to reading. */
  readonly denied: readonly string[];
}

/** Takes the rules of a session and of the settings as they are now. */
export async function rulesNow(
  session: Readonly<Record<string, 'allow' | 'deny'>>,
  settings: PermissionSettings,
): Promise<Rules> {
  const own: Record<string, 'allow' | 'deny'> = {};
  for (const [text, decision] of Object.entries(session)) {
    const rule = await real(text);
    if (own[rule] !== 'deny') own[rule] = decision;
  }
  const lasting = {
    allow: await Promise.all(settings.allow.map(real)),
    deny: await Promise.all(settings.deny.map(real)),
  };
  const denied = [...lasting.deny, ...Object.keys(own).filter((rule) => own[rule] === 'deny')];
  return {
    decide: ({ rule, path }) => decide(rule, own, lasting, path),
    denied: denied.flatMap(readScope),
  };
}

async function real(text: string): Promise<string> {
  const rule = parseRule(text);
  if (rule?.scope === undefined || rule.kind === 'command' || rule.kind === 'network') return text;
  try {
    return formatRule({ ...rule, scope: await realPath(rule.scope) });
  } catch {
    // It can't be looked at, or is a link to nothing: then no real path lies in it, and it stays as it was written.
    return text;
  }
}

function readScope(text: string): string[] {
  const rule = parseRule(text);
  return rule?.kind === 'read' && rule.scope !== undefined ? [rule.scope] : [];
}
