import { setImmediate } from 'node:timers/promises';
import { styleText } from 'node:util';
import type { ApprovalRequest } from '../chat/tools/toolbox.ts';
import type { Approval } from '../session/event/event.ts';
import type { Input } from './input/input.ts';
import type { KeyStream, Screen } from './input/input-streams.ts';
import { escapeLine } from './output/escape.ts';
import type { Terminal } from './output/terminal.ts';

/** The terminal that a question is asked on. */
interface On {
  readonly terminal: Terminal;
  readonly input: Input;
}

/**
 * Shows a request of a tool, and asks the user to approve it. Enter alone means no. Resolves to
 * undefined after Ctrl+C, Esc or the end of input, in which case the turn should end, and once
 * `signal` is aborted. Keys pressed before the question was shown are left to the prompt and don't
 * answer it.
 */
export async function askApproval(
  request: ApprovalRequest,
  on: On,
  signal: AbortSignal,
): Promise<Approval | undefined> {
  const { terminal } = on;
  terminal.show(`${header(request, terminal.styled)}\n`);
  let whole = false;
  for (;;) {
    const lines = shownLines(request, terminal, whole);
    terminal.show(lines.map((line) => `${line}\n`).join(''));
    const answer = await ask(on, signal);
    if (answer !== 'v') return answer;
    whole = true;
  }
}

/** Returns the question, short enough for one row: a line over several rows can't be redrawn. */
function questionFor({ columns = 80 }: { columns?: number }): string {
  const question = 'allow? [y]es, once; for this [s]ession; [n]o; [d]eny for this session: ';
  return columns > question.length + 8 ? question : '[y]es [s]ession [n]o [d]eny: ';
}

const answers: Readonly<Record<string, Approval | 'v'>> = {
  '': 'deny',
  n: 'deny',
  no: 'deny',
  y: 'once',
  yes: 'once',
  o: 'once',
  once: 'once',
  s: 'session',
  session: 'session',
  d: 'always',
  deny: 'always',
  v: 'v',
};

const words: Readonly<Record<Approval | 'v', string>> = {
  once: 'yes, once',
  session: 'for this session',
  deny: 'no',
  always: 'deny for this session',
  v: 'show all',
};

/** Asks until there is a valid answer. Returns undefined if the turn should end. */
async function ask({ terminal, input }: On, signal: AbortSignal): Promise<Approval | 'v' | undefined> {
  const question = questionFor(terminal.ui);
  for (;;) {
    await skipPendingKeys(input);
    const line = await input.lend((stdin, stdout, gone) =>
      readAnswer(question, { stdin, stdout }, AbortSignal.any([signal, gone])),
    );
    if (line === undefined) {
      terminal.show(`${question}no, turn cancelled\n`);
      return undefined;
    }
    const known = line.trim().toLowerCase();
    const answer = Object.hasOwn(answers, known) ? answers[known] : undefined;
    terminal.show(`${question}${answer === undefined ? escapeLine(line) : words[answer]}\n`);
    if (answer !== undefined) return answer;
  }
}

/**
 * Keeps keys that were pressed before the question was shown from answering it. They go to the
 * prompt as before, or are dropped if nothing was reading the terminal yet.
 */
async function skipPendingKeys(input: Input): Promise<void> {
  await pendingInputRead();
  await input.lend(pendingInputRead);
}

/** Resolves once input that has arrived was read and decoded into keys. */
async function pendingInputRead(): Promise<void> {
  for (let round = 0; round < 3; round++) await setImmediate();
}

/** Reads a line. Resolves to undefined after Esc, and once `signal` is aborted. */
async function readAnswer(
  question: string,
  { stdin, stdout }: { stdin: KeyStream; stdout: Screen },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let line = '';
  const draw = (): void => {
    stdout.write(`\r\u001b[K${question}${escapeLine(line)}`);
  };
  const leave = (): void => resolve(undefined);
  signal.addEventListener('abort', leave);
  if (signal.aborted) leave();
  const put = (next: string): void => {
    const isMore = next.startsWith(line);
    const more = next.slice(line.length);
    line = next;
    if (isMore) stdout.write(escapeLine(more));
    else draw();
  };
  stdin.on('keypress', (text: string | undefined, { name, ctrl }: { name?: string; ctrl?: boolean }) => {
    if (name === 'return') resolve(line);
    else if (name === 'escape') leave();
    else if (name === 'backspace') put(line.slice(0, -1));
    else if (ctrl === true) put('');
    else if (text !== undefined && line.length < 20) put(line + text);
  });
  draw();
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', leave);
    stdin.removeAllListeners('keypress');
  }
}

function header({ toolName, about }: ApprovalRequest, styled: boolean): string {
  const text = `${escapeInvisible(toolName)}: ${escapeInvisible(about)}`;
  return styled ? styleText('bold', text, { validateStream: false }) : text;
}

/**
 * Returns the lines that describe a request: its details, cut if they are long unless `whole`, and
 * the scope of each lasting answer.
 */
function shownLines(request: ApprovalRequest, terminal: Terminal, whole: boolean): string[] {
  const { rows = 24, columns = 80 } = terminal.ui;
  const most = whole ? Number.POSITIVE_INFINITY : Math.max(8, rows - 8);
  const widest = whole ? Number.POSITIVE_INFINITY : columns * 4;
  const lines = request.detail?.replace(/\n$/, '').split('\n') ?? [];
  const isDiff = lines[0]?.startsWith('--- ') === true;
  const kept = lines.slice(0, most);
  const left = lines.length - kept.length;
  const isCut = left > 0 || kept.some((line) => line.length > widest);
  return [
    ...kept.map((line) => (line === '' ? '' : `  ${colour(cutLine(line, widest), isDiff && terminal.styled)}`)),
    ...(isCut ? [`  … ${left > 0 ? `${left} more lines` : 'cut'}; v to see all`] : []),
    ...scopeLines(request),
  ];
}

function cutLine(line: string, widest: number): string {
  const shown = line.slice(0, Math.min(widest, line.length));
  const left = line.length - shown.length;
  return `${escapeInvisible(shown)}${left > 0 ? ` … ${left} more characters` : ''}`;
}

function colour(line: string, isDiff: boolean): string {
  const style = isDiff ? diffStyles[line[0] ?? ''] : undefined;
  return style === undefined ? line : styleText(style, line, { validateStream: false });
}

const diffStyles: Readonly<Record<string, 'green' | 'red' | 'cyan'>> = { '+': 'green', '-': 'red', '@': 'cyan' };

/**
 * Escapes a text so that the user sees everything that they approve: control characters, invisible
 * characters, and characters that look like a space.
 */
function escapeInvisible(text: string): string {
  return text
    .split('\t')
    .map((part) => escapeLine(part).replace(/(?! )[\p{Cf}\p{Zs}\p{Default_Ignorable_Code_Point}\u2800]/gu, codeOf))
    .join('\t');
}

function codeOf(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

/**
 * Returns the scope of each lasting answer, exactly as it will be recorded. A denial may cover more
 * than a permission.
 */
function scopeLines({ rule, sandboxed }: ApprovalRequest): string[] {
  return [`  session: ${describeAllowed(rule, sandboxed)}`, `  deny: ${describeDenied(rule)}`];
}

/** Describes what a rule allows, as `rulesNow` in chat/tools/access/rules.ts applies it. */
function describeAllowed(rule: string, sandboxed: boolean | undefined): string {
  const { kind, scope } = partsOf(rule);
  if (kind === 'read' || kind === 'write') {
    const what = kind === 'read' ? 'reading' : 'writing';
    return scope === undefined
      ? `${what} anything in the working directory`
      : `${what} anything in ${scope}, while this is the working directory`;
  }
  const what = `${scope === undefined ? 'any command' : 'this exact command'}${kind === 'network' ? ', with network access' : ''}`;
  return `${what}, in this directory, ${sandboxed === false ? 'with or without a sandbox' : 'only in a sandbox'}`;
}

/** Describes what a rule denies, which it does in every directory. */
function describeDenied(rule: string): string {
  const { kind, scope } = partsOf(rule);
  if (kind === 'read' || kind === 'write')
    return `${kind === 'read' ? 'reading' : 'writing'} anything ${scope === undefined ? 'anywhere' : `in ${scope}`}`;
  const network = kind === 'network' ? 'with network access' : 'with or without network access';
  return `${scope === undefined ? 'any command' : 'this exact command'}, ${network}`;
}

function partsOf(rule: string): { kind: string; scope: string | undefined } {
  const at = rule.indexOf(':');
  return at === -1
    ? { kind: rule, scope: undefined }
    : { kind: rule.slice(0, at), scope: escapeInvisible(rule.slice(at + 1)) };
}
