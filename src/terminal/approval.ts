import { setImmediate } from 'node:timers/promises';
import { styleText } from 'node:util';
import type { ApprovalRequest } from '../chat/tools/toolbox.ts';
import type { Approval } from '../session/event/event.ts';
import { escapeLine } from './escape.ts';
import type { Input } from './input.ts';
import type { KeyStream, Screen } from './input-streams.ts';
import type { Terminal } from './terminal.ts';

/** The terminal that a question is asked on. */
interface Asked {
  readonly terminal: Terminal;
  readonly input: Input;
}

/**
 * Asks the user whether a tool may do what the request says, after showing all of it. Enter alone
 * means no, and so does the end of input; Ctrl+C and Esc resolve to undefined: the turn should end.
 * Keys pressed before the question was shown stay with the prompt and answer nothing.
 */
export async function askApproval(
  request: ApprovalRequest,
  on: Asked,
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

/** The question in one row of the terminal: what is drawn over several can't be drawn anew. */
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

/** Gives what somebody chose; undefined where they would rather have the turn end. */
async function ask({ terminal, input }: Asked, signal: AbortSignal): Promise<Approval | 'v' | undefined> {
  const question = questionFor(terminal.ui);
  for (;;) {
    await passOver(input);
    const line = await input.lend((stdin, stdout, gone) =>
      readAnswer(question, { stdin, stdout }, AbortSignal.any([signal, gone])),
    );
    if (line === undefined) {
      terminal.show(`${question}no, and the turn ends\n`);
      return undefined;
    }
    const known = line.trim().toLowerCase();
    const answer = Object.hasOwn(answers, known) ? answers[known] : undefined;
    terminal.show(`${question}${answer === undefined ? escapeLine(line) : words[answer]}\n`);
    if (answer !== undefined) return answer;
  }
}

/**
 * Keys that have arrived and were not read yet were pressed before there was a question: they go where keys went until now, and where the
 * terminal was not listened to at all, nowhere.
 */
async function passOver(input: Input): Promise<void> {
  await rounds();
  await input.lend(rounds);
}

/** Long enough for what has arrived to be read, and to be taken apart into keys. */
async function rounds(): Promise<void> {
  for (let round = 0; round < 3; round++) await setImmediate();
}

/** Reads a line of letters; undefined for Esc and for an end. */
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
  const text = `${writeOut(toolName)} wants to: ${writeOut(about)}`;
  return styled ? styleText('bold', text, { validateStream: false }) : text;
}

/** What the call would do, and what a yes for the session is a yes to. A long one is cut unless `whole`. */
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
    ...(isCut ? [`  … ${left > 0 ? `${left} more lines` : 'cut'}; v shows all`] : []),
    ...scopeLines(request),
  ];
}

function cutLine(line: string, widest: number): string {
  const shown = line.slice(0, Math.min(widest, line.length));
  const left = line.length - shown.length;
  return `${writeOut(shown)}${left > 0 ? ` … ${left} more characters` : ''}`;
}

function colour(line: string, isDiff: boolean): string {
  const style = isDiff ? diffStyles[line[0] ?? ''] : undefined;
  return style === undefined ? line : styleText(style, line, { validateStream: false });
}

const diffStyles: Readonly<Record<string, 'green' | 'red' | 'cyan'>> = { '+': 'green', '-': 'red', '@': 'cyan' };

/** What somebody says yes to is all there to be seen: what takes no room, or looks like a space, is written out too. */
function writeOut(text: string): string {
  return text
    .split('\t')
    .map((part) => escapeLine(part).replace(/(?! )[\p{Cf}\p{Zs}\p{Default_Ignorable_Code_Point}\u2800]/gu, codeOf))
    .join('\t');
}

function codeOf(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

/** What an answer is about that holds from now on: exactly what is recorded, which may be more for a denial. */
function scopeLines({ rule, sandboxed }: ApprovalRequest): string[] {
  return [`  session: ${describeAllowed(rule, sandboxed)}`, `  deny: ${describeDenied(rule)}`];
}

/** What a rule allows, as `rulesNow` in chat/tools/rules.ts applies it. */
function describeAllowed(rule: string, sandboxed: boolean | undefined): string {
  const { kind, scope } = partsOf(rule);
  if (kind === 'read' || kind === 'write') {
    const what = kind === 'read' ? 'reading' : 'writing';
    return scope === undefined
      ? `${what} anything in the working directory`
      : `${what} anything in ${scope}, while this is the working directory`;
  }
  const what = `${scope === undefined ? 'any command' : 'this very command'}${kind === 'network' ? ', with the network' : ''}`;
  return `${what}, in this directory, ${sandboxed === false ? 'in a sandbox or without one' : 'in a sandbox only'}`;
}

/** What a rule denies: a denial holds in every directory. */
function describeDenied(rule: string): string {
  const { kind, scope } = partsOf(rule);
  if (kind === 'read' || kind === 'write')
    return `${kind === 'read' ? 'reading' : 'writing'} anything ${scope === undefined ? 'anywhere' : `in ${scope}`}`;
  const network = kind === 'network' ? 'with the network' : 'with the network or without';
  return `${scope === undefined ? 'any command' : 'this very command'}, ${network}`;
}

function partsOf(rule: string): { kind: string; scope: string | undefined } {
  const at = rule.indexOf(':');
  return at === -1
    ? { kind: rule, scope: undefined }
    : { kind: rule.slice(0, at), scope: writeOut(rule.slice(at + 1)) };
}
