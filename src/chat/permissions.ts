import { isAbsolute, normalize, sep } from 'node:path';

/*
 * What a tool may do is asked by a rule: `read`, `write`, `command` or `network`. Alone, `read` and `write` are about the
 * working directory, the others about any command; with a scope (`read:/dir`, `command:npm test`) about that alone.
 */

/** What a rule is about. */
export type RuleKind = 'read' | 'write' | 'command' | 'network';

/** A rule, taken apart. The scope of `read` and `write` is an absolute path, that of the others a whole command line. */
export interface Rule {
  readonly kind: RuleKind;
  readonly scope?: string;
}

/** The rules somebody has decided on for good. */
export interface PermissionSettings {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** What to do with what a tool asks for. */
export type Decision = 'allow' | 'deny' | 'ask';

/** What holds where nothing is said: reading in the working directory, everything else is asked. */
export const defaultPermissions: PermissionSettings = { allow: ['read'], deny: [] };

/** The form of a rule in words, for whoever wrote something else. */
export const ruleForm =
  'read, write, command or network, alone or as read:/dir, write:/dir, command:line, network:line';

/** Takes a rule apart; undefined for what is none. A path comes out without `.`, `..` and a slash at its end. */
export function parseRule(text: string): Rule | undefined {
  const [, kind, scope] = /^(read|write|command|network)(?::([^\0]+))?$/s.exec(text) ?? [];
  if (kind === undefined) return undefined;
  if (scope === undefined) return { kind: kind as RuleKind };
  if (kind === 'command' || kind === 'network') return { kind, scope };
  return isAbsolute(scope) ? { kind: kind as RuleKind, scope: clean(scope) } : undefined;
}

/** Writes a rule as {@link parseRule} reads it. */
export function formatRule(rule: Rule): string {
  return rule.scope === undefined ? rule.kind : `${rule.kind}:${rule.scope}`;
}

/**
 * Decides about what `asked`, a rule, asks for. What the settings deny is denied for good; else what the session has been told comes
 * before them. Of several rules that apply the most specific one holds, and of two equally specific ones the denial. Allowing `read` or `write` alone is about the
 * working directory, denying it about every directory; a denied command is denied with the network too. `path` is the file or
 * directory that is meant, where it is one: a scope applies to it inside the working directory as well. Rules that are none are passed
 * over. Throws TypeError where `asked` is none.
 */
export function decide(
  asked: string,
  session: Readonly<Record<string, 'allow' | 'deny'>>,
  settings: PermissionSettings,
  path?: string,
): Decision {
  const rule = parseRule(asked);
  if (rule === undefined) throw new TypeError(`${asked} is no rule`);
  if (rule.kind === 'network' && decide(formatRule({ ...rule, kind: 'command' }), session, settings) === 'deny') {
    return 'deny';
  }
  const lasting = [
    ...settings.allow.map((text) => [text, 'allow'] as const),
    ...settings.deny.map((text) => [text, 'deny'] as const),
  ];
  const settled = strongest(rule, lasting, path);
  return settled === 'deny' ? 'deny' : (strongest(rule, Object.entries(session), path) ?? settled ?? 'ask');
}

/** Tells whether a path is that directory or lies below it. Both are absolute, without `.` and `..`. */
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
    if (specific < level) continue; // denials come last, and are as specific as what they win over
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
