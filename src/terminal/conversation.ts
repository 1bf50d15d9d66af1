import { textOf } from '../session/event/message-text.ts';
import type { Recorded } from '../session/shapes.ts';
import type { Terminal } from './output/terminal.ts';

/** Shows a recorded conversation: prompts as they were typed, replies as they were shown. */
export async function showConversation(terminal: Terminal, { row, state }: Recorded): Promise<void> {
  for (const message of state.messages) {
    const text = textOf(message).trimEnd();
    if (text === '') continue;
    if (message.role !== 'assistant') {
      terminal.write(`» ${text.replaceAll('\n', '\n  ')}\n`);
      continue;
    }
    const reply = await terminal.startReply();
    reply.push(text);
    reply.end();
  }
  terminal.tell(`${row.label} as last saved; another process has it open`);
}
