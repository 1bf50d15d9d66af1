import { type Answers, answers, type FrontEnd, type Inquiry } from '../live/question.ts';
import { describeBytes } from './amounts.ts';
import type { Input } from './input.ts';
import { describeGone, describeNotice } from './notices.ts';
import { clock, countMessages } from './rows.ts';
import type { Terminal } from './terminal.ts';

/** The terminal as the front end of the functions that open a session. */
export function frontEnd(terminal: Terminal, input: Input): FrontEnd {
  return {
    attended: terminal.interactive,
    ask: (inquiry, signal) => askUser(inquiry, { terminal, input }, signal),
    notify(notice) {
      for (const line of describeNotice(notice)) terminal.tell(line);
    },
  };
}

/** Asks the user a question; undefined for the end of input, and if an approval is cancelled. */
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
    // Only this question has no answer that is safe to assume.
    if (inquiry.kind !== 'directory') return answers[inquiry.kind].at(-1);
  }
}

/** The answer that a line names, whole or by its first letter. */
function choiceIn(line: string, choices: readonly string[]): string | undefined {
  const given = line.trim().toLowerCase();
  return choices.find((choice) => given === choice || given === choice[0]);
}

function wordsOf(inquiry: Exclude<Inquiry, { kind: 'approval' }>): string {
  switch (inquiry.kind) {
    case 'send-elsewhere': {
      const { messages, from, to } = inquiry;
      const what = `${countMessages(messages)} with ${from}, which is on this machine`;
      return `${what}, would all be sent to ${to}; send them? [y/N] `;
    }
    case 'accept-older':
      return 'go on from what is there? what was saved after it stays lost [y/N] ';
    case 'in-use':
      return `${inquiry.error.what}; go on in a [f]ork of it, [r]ead it only, or [N]either? `;
    case 'drop-unsaved':
      return `this conversation is not saved since ${clock(inquiry.since)}; drop what is not? [y/N] `;
    case 'directory':
      return `this session was in ${inquiry.recorded}; let tools work [r]ecorded there, or [h]ere in ${inquiry.here}? `;
    case 'directory-gone':
      return `${describeGone(inquiry.recorded)}; continue [h]ere in ${inquiry.here}, or [N]ot at all? `;
    case 'agents':
      return `AGENTS.md is here (${describeBytes(inquiry.bytes)}); tell it to the model in chats of this directory? [y/N] `;
  }
}
