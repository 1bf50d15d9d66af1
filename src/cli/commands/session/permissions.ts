import { formatRule, parseRule } from '../../../chat/permissions.ts';
import { CofferError } from '../../../errors.ts';
import type { Permission, State } from '../../../session/state.ts';
import type { Settings } from '../../../settings/settings.ts';
import type { Chat } from '../../../terminal/chat.ts';
import { escapeJson } from '../../../terminal/output/escape.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import { describePermission } from '../../../terminal/permission-words.ts';
import type { CommandSpec, Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/** `coffer permissions` and `/permissions`. */
export const permissionsCommand: CommandSpec<[which: string], { json?: boolean }> = {
  name: 'permissions',
  description: 'show what tools may do in a session',
  arguments: [{ syntax: '<which>' }],
  options: [{ flags: '--json', description: 'print a JSON object' }],
  examples: ['coffer permissions last'],
  run,
  slash: {
    usage: '',
    about: 'show what tools may do here; allow <rule>, deny <rule>, revoke <rule or number> change it',
    run: runSlash,
  },
};

/**
 * Prints what tools may do in a session: its own rules, and those of the settings. Throws what
 * finding and reading it throw.
 */
async function run(shell: Shell, [which]: [string], options: { json?: boolean }): Promise<void> {
  const { terminal } = shell;
  const { sessions, input, settings } = await openSessions(shell);
  try {
    const { state } = await sessions.read(await sessions.find(which));
    const { permissions } = settings;
    if (options.json !== true) sayPermissions(terminal, state, permissions);
    else {
      terminal.write(`${escapeJson({ session: rulesOf(state), settings: permissions })}\n`);
    }
  } finally {
    input.close();
  }
}

/**
 * Prints the rules of the current conversation, or changes them: `allow <rule>`, `deny <rule>`,
 * `revoke <rule or number>`. Throws `USAGE` for an invalid rule.
 */
async function runSlash(chat: Chat, argument: string): Promise<void> {
  const { live, session, terminal, settings } = chat;
  if (argument === '') {
    sayPermissions(terminal, session.state, settings.permissions);
    return;
  }
  const [, verb, wanted] = /^(allow|deny|revoke)\s+(\S.*)$/s.exec(argument) ?? [];
  if (verb === undefined || wanted === undefined) {
    throw new CofferError('USAGE', 'usage: /permissions allow <rule>, deny <rule> or revoke <rule or number>');
  }
  if (verb === 'revoke') {
    const { rule, directory } = findRule(session.state, wanted);
    const isNumber = /^\d+$/.test(wanted); // a rule given by name is revoked in every directory
    await live.send({ type: 'RevokePermission', rule, directory: isNumber ? directory : undefined });
    terminal.say(`revoked: ${rule}`);
    return;
  }
  const decision = verb === 'allow' ? 'allow' : 'deny';
  const { rule, already } = await live.send({ type: 'SetPermission', decision, rule: wanted });
  const done = decision === 'allow' ? 'allowed' : 'denied';
  terminal.say(`${done} in this conversation${already ? ' already' : ''}: ${rule}`);
}

function sayPermissions(terminal: Terminal, state: State, settings: Settings['permissions']): void {
  const own = rulesOf(state);
  terminal.say(own.length === 0 ? 'this conversation has no rules of its own' : 'rules of this conversation:');
  for (const [at, one] of own.entries())
    terminal.say(
      `${String(at + 1).padStart(3)}) ${one.decision.padEnd(5)} ${describePermission(one, state.directory)}`,
    );
  terminal.say('rules of the settings:');
  for (const rule of settings.allow) terminal.say(`     allow ${rule}`);
  for (const rule of settings.deny) terminal.say(`     deny  ${rule}`);
  if (settings.allow.length + settings.deny.length === 0) terminal.say('     none: tools always ask');
}

function rulesOf({ permissions }: State): Permission[] {
  return permissions.toSorted((a, b) => (a.rule < b.rule ? -1 : 1));
}

/** Finds a rule by its number in the list, or by its text. */
function findRule(state: State, wanted: string): Permission {
  const own = rulesOf(state);
  const parsed = parseRule(wanted);
  const names = [wanted, parsed && formatRule(parsed)];
  const found = own.find(({ rule }, at) => names.includes(rule) || String(at + 1) === wanted);
  if (found !== undefined) return found;
  const range = own.length === 0 ? 'it has none' : `they are numbered 1 to ${own.length}`;
  throw new CofferError('USAGE', `this conversation has no rule ${wanted} to revoke`, { advice: range });
}
