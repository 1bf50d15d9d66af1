import { join, sep } from 'node:path';
import type { Permission } from '../../session/state.ts';
import { type Decision, decide, formatRule, isWithin, type PermissionSettings, parseRule } from '../permissions.ts';
import { guardOf, secretOf } from './guarded.ts';
import { realPath } from './place.ts';
import type { Place, Plan } from './tool.ts';

/**
 * The rules that hold for a call, with real paths in them: a directory is meant by whatever link the settings name it. Links in the chat's
 * own directory, which a command or a stranger may have made, give no rule another path to allow, and no links at all one that a session allows.
 */
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
  /** The names of this directory. Where a grant was given is a real path: a link that stands there now is another directory. */
  const here = [directory, await realOr(directory)];
  const own: Decisions = {};
  /** What is allowed here without a sandbox. */
  const bare = new Set<string>();
  for (const permission of session) {
    const rule = await realRule(permission.rule);
    // It was given for a real path: one that has come to lead elsewhere is not what somebody said yes to.
    const isGiven = here.includes(permission.directory) && rule === permission.rule;
    const holds = permission.decision === 'deny' || isGiven;
    if (!holds || own[rule] === 'deny') continue;
    own[rule] = permission.decision;
    if (permission.unsandboxed) bare.add(rule);
  }
  const ledAway = await Promise.all(settings.allow.map((rule) => isLedAway(rule, directory)));
  const lasting = {
    allow: await Promise.all(settings.allow.filter((_, at) => !ledAway[at]).map(realRule)),
    deny: await Promise.all(settings.deny.map(realRule)),
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

/** Returns a rule with the real path in it, as far as that exists. */
export async function realRule(text: string): Promise<string> {
  const rule = parseRule(text);
  if (rule?.scope === undefined || rule.kind === 'command' || rule.kind === 'network') return text;
  return formatRule({ ...rule, scope: await realOr(rule.scope) });
}

/** Tells whether the path of a rule comes into a directory and is led elsewhere by a link there. */
async function isLedAway(text: string, directory: string): Promise<boolean> {
  const [path] = [...scopeOf(text, 'read'), ...scopeOf(text, 'write')];
  if (path === undefined) return false;
  const target = await realOr(path);
  if (target === path) return false;
  const here = await realOr(directory);
  for (let end = path.indexOf(sep, 1); end !== -1; end = path.indexOf(sep, end + 1)) {
    const above = await realOr(path.slice(0, end));
    if (isWithin(here, above)) return join(above, path.slice(end)) !== target;
  }
  return false;
}

/** What can't be looked at, or is a link to nothing, stays as it was written: no real path lies in it. */
async function realOr(path: string): Promise<string> {
  try {
    return await realPath(path);
  } catch {
    return path;
  }
}

function scopeOf(text: string, kind: 'read' | 'write'): string[] {
  const rule = parseRule(text);
  return rule?.kind === kind && rule.scope !== undefined ? [rule.scope] : [];
}
