import { type Answers, answers, type FrontEnd, type Inquiry } from '../live/question.ts';
import type { Input } from './input/input.ts';
import { describeGone, describeNotice } from './notices.ts';
import { describeBytes } from './output/amounts.ts';
import { clock, countMessages } from './output/rows.ts';
import type { Terminal } from './output/terminal.ts';

/** Returns the terminal as a front end, for functions that ask or notify the user. */
export function frontEnd(terminal: Terminal, input: Input): FrontEnd {
  return {
    attended: terminal.interactive,
    ask: (inquiry, signal) => askUser(inquiry, { terminal, input }, signal),
    notify(notice) {
      for (const line of describeNotice(notice)) terminal.tell(line);
    },
  };
}

/**
 * Asks the user a question. Resolves to undefined at the end of input, and if the user cancels an
 * approval.
 */
export async function askUser<K extends Inquiry['kind']>(
  inquiry: Extract<Inquiry, { kind: K }>,
  on: { readonly terminal: Terminal; readonly input: Input },
  signal: AbortSignal = new AbortController().signal,
): Promise<Answers[K] | undefined> {
  return (await answerTo(inquiry, on, signal)) as Answers[K] | undefined;
}

async function answerTo(
  inquiry: Inquiry,
  { terminal, input }: { readonly terminal: Terminal; readonly input: Input },
  signal: AbortSignal,
): Promise<string | undefined> {
  if (inquiry.kind === 'approval') {
    const { askApproval } = await import('./approval.ts');
    return askApproval(inquiry.request, { terminal, input }, signal);
  }
  if (inquiry.kind === 'accept-older') terminal.tell(inquiry.error.message);
  const question = wordsOf(inquiry);
  for (;;) {
    const line = await input.ask(question);
    if (line === undefined) return undefined;
    const answer = choiceIn(line, answers[inquiry.kind]);
    if (answer !== undefined) return answer;
    // Only this question has no safe default answer.
    if (inquiry.kind !== 'directory') return answers[inquiry.kind].at(-1);
  }
}

/** Returns the answer that a line names, in full or by its first letter. */
function choiceIn(line: string, choices: readonly string[]): string | undefined {
  const given = line.trim().toLowerCase();
  return choices.find((choice) => given === choice || given === choice[0]);
}

function wordsOf(inquiry: Exclude<Inquiry, { kind: 'approval' }>): string {
  switch (inquiry.kind) {
    case 'send-elsewhere': {
      const { messages, from, to } = inquiry;
      const what = `${countMessages(messages)} with ${from}, a model on this machine`;
      return `${what}, will be sent to ${to}; continue? [y/N] `;
    }
    case 'accept-older':
      return 'continue from the older copy? anything saved after it stays lost [y/N] ';
    case 'in-use':
      return `${inquiry.error.what}; [f]ork it, [r]ead only, or [c]ancel? `;
    case 'drop-unsaved':
      return `this conversation has not been saved since ${clock(inquiry.since)}; discard unsaved steps? [y/N] `;
    case 'directory':
      return `this session was in ${inquiry.recorded}; use that [r]ecorded directory, or work [h]ere in ${inquiry.here}? `;
    case 'directory-gone':
      return `${describeGone(inquiry.recorded)}; continue [h]ere in ${inquiry.here}, or [c]ancel? `;
    case 'agents':
      return `found AGENTS.md (${describeBytes(inquiry.bytes)}); give it to the model in chats in this directory? [y/N] `;
  }
}
