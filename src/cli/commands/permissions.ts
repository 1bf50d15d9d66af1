import { formatRule, parseRule, ruleForm } from '../../chat/permissions.ts';
import { CofferError } from '../../errors.ts';
import type { State } from '../../session/state.ts';
import type { Chat } from '../chat.ts';
import { escapeJson } from '../escape.ts';
import type { Settings } from '../settings.ts';
import { openSessions, type Shell } from '../shell.ts';
import type { Terminal } from '../terminal.ts';

/** Shows what tools may do in a session: its own rules, and those of the settings. Throws what finding and reading it throw. */
export async function showPermissions(
  shell: Shell,
  which: string,
  options: { json?: boolean | undefined },
): Promise<void> {
  const { terminal } = shell;
  const { sessions, input, settings } = await openSessions(shell);
  try {
    const { state } = await sessions.read(await sessions.find(which));
    const { permissions } = settings;
    if (options.json !== true) sayPermissions(terminal, state, permissions);
    else {
      const session = rulesOf(state).map(([rule, decision]) => ({ rule, decision }));
      terminal.write(`${escapeJson({ session, settings: permissions })}\n`);
    }
  } finally {
    input.close();
  }
}

/**
 * Shows the rules of the present conversation, or changes them: `allow <rule>`, `deny <rule>`, `revoke <rule or number>`. Throws `USAGE`
 * for what is no rule.
 */
export async function permissionsFromChat(chat: Chat, argument: string): Promise<void> {
  const { session, terminal, settings } = chat;
  if (argument === '') {
    sayPermissions(terminal, session.state, settings.permissions);
    return;
  }
  const [, verb, wanted] = /^(allow|deny|revoke)\s+(\S.*)$/s.exec(argument) ?? [];
  if (verb === undefined || wanted === undefined) {
    throw new CofferError('USAGE', 'say what: /permissions allow <rule>, deny <rule> or revoke <rule or number>');
  }
  if (verb === 'revoke') {
    const rule = findRule(session.state, wanted);
    await session.record({ type: 'permission', rule, decision: 'revoke' });
    terminal.say(`revoked: ${rule}`);
    return;
  }
  const decision = verb === 'allow' ? 'allow' : 'deny';
  const rule = ruleOf(wanted);
  const isSo = session.state.permissions[rule] === decision;
  if (!isSo) await session.record({ type: 'permission', rule, decision });
  terminal.say(`${decision === 'allow' ? 'allowed' : 'denied'} in this conversation${isSo ? ' already' : ''}: ${rule}`);
}

function sayPermissions(terminal: Terminal, state: State, settings: Settings['permissions']): void {
  const own = rulesOf(state);
  terminal.say(own.length === 0 ? 'this conversation has no rules of its own' : 'rules of this conversation:');
  for (const [at, [rule, decision]] of own.entries())
    terminal.say(`${String(at + 1).padStart(3)}) ${decision.padEnd(5)} ${rule}`);
  terminal.say('rules of the settings:');
  for (const rule of settings.allow) terminal.say(`     allow ${rule}`);
  for (const rule of settings.deny) terminal.say(`     deny  ${rule}`);
  if (settings.allow.length + settings.deny.length === 0) terminal.say('     none: everything is asked');
}

function rulesOf({ permissions }: State): [string, 'allow' | 'deny'][] {
  return Object.entries(permissions).sort(([a], [b]) => (a < b ? -1 : 1));
}

function ruleOf(text: string): string {
  const rule = parseRule(text);
  if (rule === undefined) throw new CofferError('USAGE', `"${text}" is no rule`, { advice: `a rule is ${ruleForm}` });
  return formatRule(rule);
}

/** A rule by its number in the list, or as it is written. */
function findRule(state: State, wanted: string): string {
  const own = rulesOf(state);
  const parsed = parseRule(wanted);
  const names = [wanted, parsed && formatRule(parsed)];
  const [rule] = own.find(([text], at) => names.includes(text) || String(at + 1) === wanted) ?? [];
  if (rule !== undefined) return rule;
  const range = own.length === 0 ? 'it has none' : `they are numbered 1 to ${own.length}`;
  throw new CofferError('USAGE', `this conversation has no rule ${wanted} to revoke`, { advice: range });
}
