import type { Permission } from '../../session/state.ts';
import { type Decision, decide, formatRule, type PermissionSettings, parseRule } from '../permissions.ts';
import { guardOf, secretOf } from './guarded.ts';
import { realPath } from './place.ts';
import type { Place, Plan } from './tool.ts';

/** The rules that hold for a call, with real paths in them: a directory is meant by whatever link somebody named it. */
export interface Rules {
  /**
   * A guarded path is allowed only by rules that name it; a command that would run without a sandbox, only by grants given for that, and by
   * the settings only if they switch the sandbox off.
   */
  decide(plan: Pick<Plan, 'rule' | 'path' | 'guarded' | 'sandboxed'>): Decision;
  /** The directories that are denied to reading. */
  readonly denied: readonly string[];
  /** The paths of rules that allow what no general rule does. */
  readonly granted: Required<Place>['granted'];
}

type Decisions = Record<string, 'allow' | 'deny'>;

/** Combines the current rules of a session and of the settings. Leaves out what the session allows elsewhere. */
export async function rulesNow(
  session: readonly Permission[],
  settings: PermissionSettings,
  { directory, sandbox }: Pick<Place, 'directory' | 'sandbox'>,
): Promise<Rules> {
  const own: Decisions = {};
  /** What is allowed here without a sandbox. */
  const bare = new Set<string>();
  for (const permission of session) {
    const rule = await real(permission.rule);
    const isHere = permission.decision === 'deny' || (await isSameDirectory(permission.directory, directory));
    if (!isHere || own[rule] === 'deny') continue;
    own[rule] = permission.decision;
    if (permission.unsandboxed) bare.add(rule);
  }
  const lasting = {
    allow: await Promise.all(settings.allow.map(real)),
    deny: await Promise.all(settings.deny.map(real)),
  };
  const denied = [...lasting.deny, ...Object.keys(own).filter((rule) => own[rule] === 'deny')];
  const allowed = [...lasting.allow, ...Object.keys(own).filter((rule) => own[rule] === 'allow')].filter(isNamed);
  const named = {
    own: Object.fromEntries(Object.entries(own).filter(([rule, decision]) => decision === 'deny' || isNamed(rule))),
    lasting: { ...lasting, allow: lasting.allow.filter(isNamed) },
  };
  const unsandboxed = {
    own: Object.fromEntries(Object.entries(own).filter(([rule, decision]) => decision === 'deny' || bare.has(rule))),
    lasting: { ...lasting, allow: sandbox === 'off' ? lasting.allow : [] },
  };
  const scopes = (kind: 'read' | 'write'): string[] => allowed.flatMap((text) => scopeOf(text, kind));
  return {
    decide: ({ rule, path, guarded, sandboxed }) => {
      const { own: told, lasting: settled } = guarded ? named : sandboxed === false ? unsandboxed : { own, lasting };
      return decide(rule, told, settled, path);
    },
    denied: denied.flatMap((text) => scopeOf(text, 'read')),
    granted: { read: scopes('read'), write: scopes('write') },
  };
}

/** Tells whether a rule is about something guarded: `write:/p/.vscode` is, `write:/p` is not, although `.vscode` lies in it. */
function isNamed(text: string): boolean {
  const rule = parseRule(text);
  if (rule?.scope === undefined) return false;
  if (rule.kind === 'read') return secretOf(rule.scope) !== undefined;
  return rule.kind === 'write' && guardOf(rule.scope) !== undefined;
}

async function isSameDirectory(one: string, other: string): Promise<boolean> {
  if (one === other) return true;
  try {
    return (await realPath(one)) === (await realPath(other));
  } catch {
    return false; // not accessible, so not the directory of this chat
  }
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

function scopeOf(text: string, kind: 'read' | 'write'): string[] {
  const rule = parseRule(text);
  return rule?.kind === kind && rule.scope !== undefined ? [rule.scope] : [];
}
