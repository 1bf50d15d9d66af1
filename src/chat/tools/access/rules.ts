import { join, sep } from 'node:path';
import type { Permission } from '../../../session/state.ts';
import { type Decision, decide, formatRule, isWithin, type PermissionSettings, parseRule } from '../../permissions.ts';
import type { ToolPlan, ToolScope } from '../tool.ts';
import { guardOf, secretOf } from './guarded.ts';
import { realPath } from './place.ts';

/**
 * The rules that apply to a call, with real paths: a rule of the settings applies to a directory
 * whatever link it names it by. Links inside the chat's own directory, which a command or someone
 * else may have created, can't redirect a rule of the settings to another path; a rule that the
 * session allows follows no links at all.
 */
export interface Rules {
  /**
   * Decides about a plan. A guarded path is allowed only by rules that name it. A command that
   * would run without a sandbox is allowed only by grants given for that, and by the settings only
   * if they turn the sandbox off.
   */
  decide(plan: Pick<ToolPlan, 'rule' | 'path' | 'guarded' | 'sandboxed'>): Decision;
  /** Directories that must not be read. */
  readonly denied: readonly string[];
  /** The paths of rules that allow what no general rule allows. */
  readonly granted: Required<ToolScope>['granted'];
}

type Decisions = Record<string, 'allow' | 'deny'>;

/**
 * Combines the current rules of a session and of the settings. Omits what the session allows in
 * other directories.
 */
export async function rulesNow(
  session: readonly Permission[],
  settings: PermissionSettings,
  { directory, sandbox }: Pick<ToolScope, 'directory' | 'sandbox'>,
): Promise<Rules> {
  // The names of this directory. A grant records the real path of its directory: a link that is now
  // at that path leads to a different one.
  const here = [directory, await realOr(directory)];
  const own: Decisions = {};
  // Rules that are allowed here without a sandbox.
  const unconfined = new Set<string>();
  for (const permission of session) {
    const rule = await realRule(permission.rule);
    // The grant was given for a real path. If that path now leads elsewhere, the user did not allow
    // that.
    const isGiven = here.includes(permission.directory) && rule === permission.rule;
    const applies = permission.decision === 'deny' || isGiven;
    if (!applies || own[rule] === 'deny') continue;
    own[rule] = permission.decision;
    if (permission.unsandboxed) unconfined.add(rule);
  }
  const redirected = await Promise.all(settings.allow.map((rule) => isRedirected(rule, directory)));
  const lasting = {
    allow: await Promise.all(settings.allow.filter((_, at) => !redirected[at]).map(realRule)),
    deny: await Promise.all(settings.deny.map(realRule)),
  };
  const denied = [...lasting.deny, ...Object.keys(own).filter((rule) => own[rule] === 'deny')];
  const allowed = [...lasting.allow, ...Object.keys(own).filter((rule) => own[rule] === 'allow')].filter(isNamed);
  const named = {
    own: Object.fromEntries(Object.entries(own).filter(([rule, decision]) => decision === 'deny' || isNamed(rule))),
    lasting: { ...lasting, allow: lasting.allow.filter(isNamed) },
  };
  const unsandboxed = {
    own: Object.fromEntries(
      Object.entries(own).filter(([rule, decision]) => decision === 'deny' || unconfined.has(rule)),
    ),
    lasting: { ...lasting, allow: sandbox === 'off' ? lasting.allow : [] },
  };
  const scopes = (kind: 'read' | 'write'): string[] => allowed.flatMap((text) => scopeOf(text, kind));
  return {
    decide: ({ rule, path, guarded, sandboxed }) => {
      const { own: decisions, lasting: permanent } = guarded
        ? named
        : sandboxed === false
          ? unsandboxed
          : { own, lasting };
      return decide(rule, decisions, permanent, path);
    },
    denied: denied.flatMap((text) => scopeOf(text, 'read')),
    granted: { read: scopes('read'), write: scopes('write') },
  };
}

/**
 * Tells whether a rule names something guarded: `write:/p/.vscode` does, `write:/p` doesn't,
 * although it contains `.vscode`.
 */
function isNamed(text: string): boolean {
  const rule = parseRule(text);
  if (rule?.scope === undefined) return false;
  if (rule.kind === 'read') return secretOf(rule.scope) !== undefined;
  return rule.kind === 'write' && guardOf(rule.scope) !== undefined;
}

/** Returns a rule with its path resolved, as far as it exists. */
export async function realRule(text: string): Promise<string> {
  const rule = parseRule(text);
  if (rule?.scope === undefined || rule.kind === 'command' || rule.kind === 'network') return text;
  return formatRule({ ...rule, scope: await realOr(rule.scope) });
}

/** Tells whether the path of a rule enters a directory and is led elsewhere by a link in it. */
async function isRedirected(text: string, directory: string): Promise<boolean> {
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

/**
 * Resolves a path. An inaccessible path or a dangling link stays as written: no real path is below
 * it.
 */
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
