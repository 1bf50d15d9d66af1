import { isAbsolute, normalize, sep } from 'node:path';

/*
 * Rules decide what a tool may do: `read`, `write`, `command` or `network`. Without a scope,
 * `read` and `write` apply to the working directory and the others to any command; with a scope
 * (`read:/dir`, `command:npm test`) a rule applies to that only.
 */

/** The kind of access a rule is about. */
export type RuleKind = 'read' | 'write' | 'command' | 'network';

/**
 * A parsed rule. The scope of `read` and `write` is an absolute path, that of the others a whole
 * command line.
 */
export interface Rule {
  readonly kind: RuleKind;
  readonly scope?: string;
}

/** The permanent rules of the user. */
export interface PermissionSettings {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** The decision about a request of a tool. */
export type Decision = 'allow' | 'deny' | 'ask';

/** The default rules: reading in the working directory is allowed, everything else is asked. */
export const defaultPermissions: PermissionSettings = { allow: ['read'], deny: [] };

/** The syntax of a rule, for error messages. */
export const ruleForm =
  'read, write, command or network, alone or as read:/dir, write:/dir, command:line, network:line';

/**
 * Parses a rule; returns undefined if it is invalid. A path is normalised: without `.`, `..` and a
 * trailing slash.
 */
export function parseRule(text: string): Rule | undefined {
  const [, kind, scope] = /^(read|write|command|network)(?::([^\0]+))?$/s.exec(text) ?? [];
  if (kind === undefined) return undefined;
  if (scope === undefined) return { kind: kind as RuleKind };
  if (kind === 'command' || kind === 'network') return { kind, scope };
  return isAbsolute(scope) ? { kind: kind as RuleKind, scope: clean(scope) } : undefined;
}

/** Formats a rule so that {@link parseRule} can parse it. */
export function formatRule(rule: Rule): string {
  return rule.scope === undefined ? rule.kind : `${rule.kind}:${rule.scope}`;
}

/**
 * Decides about `asked`, a rule. A denial in the settings is final; otherwise the session's
 * decisions take precedence over the settings. If several rules apply, the most specific one wins,
 * and of two equally specific ones the denial. Allowing `read` or `write` without a scope covers
 * the working directory, denying it every directory. A denied command is also denied with the
 * network. `path` is the file or directory in question, if there is one: scopes apply to it inside
 * the working directory as well. Invalid rules are ignored. Throws TypeError if `asked` is invalid.
 */
export function decide(
  asked: string,
  session: Readonly<Record<string, 'allow' | 'deny'>>,
  settings: PermissionSettings,
  path?: string,
): Decision {
  const rule = parseRule(asked);
  if (rule === undefined) throw new TypeError(`${asked} is not a rule`);
  if (rule.kind === 'network' && decide(formatRule({ ...rule, kind: 'command' }), session, settings) === 'deny') {
    return 'deny';
  }
  const lasting = [
    ...settings.allow.map((text) => [text, 'allow'] as const),
    ...settings.deny.map((text) => [text, 'deny'] as const),
  ];
  const permanent = strongest(rule, lasting, path);
  return permanent === 'deny' ? 'deny' : (strongest(rule, Object.entries(session), path) ?? permanent ?? 'ask');
}

/**
 * Tells whether `path` is `directory` or lies below it. Both are absolute, without `.` and `..`.
 */
export function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

type Entry = readonly [text: string, decision: 'allow' | 'deny'];

function strongest(asked: Rule, entries: readonly Entry[], path: string | undefined): 'allow' | 'deny' | undefined {
  let best: 'allow' | 'deny' | undefined;
  let level = -1;
  for (const [text, decision] of entries) {
    const rule = parseRule(text);
    if (rule === undefined || !applies(rule, decision, asked, path)) continue;
    const specific = rule.scope?.length ?? 0;
    // Denials come last, so they win over equally specific allowances
    if (specific < level) continue;
    best = decision;
    level = specific;
  }
  return best;
}

function applies(rule: Rule, decision: 'allow' | 'deny', asked: Rule, path: string | undefined): boolean {
  if (rule.kind !== asked.kind) return false;
  const isFile = asked.kind === 'read' || asked.kind === 'write';
  if (rule.scope === undefined) return !isFile || decision === 'deny' || asked.scope === undefined;
  if (!isFile) return rule.scope === asked.scope;
  const target = path ?? asked.scope;
  return target !== undefined && isWithin(rule.scope, target);
}

function clean(path: string): string {
  const normal = normalize(path);
  return normal.length > 1 && normal.endsWith(sep) && !/^[A-Za-z]:\\$/.test(normal) ? normal.slice(0, -1) : normal;
}
