import type { Ending, Terminal } from '../support/pty.ts';
import type { Piped } from './exits-chat.ts';

/** One way a chat can end. `strike` ends it, `after` does what the user does then. */
export type Way = {
  readonly name: string;
  /** The ending its parent must see. */
  readonly seen: Ending;
} & (
  | { readonly on: 'terminal'; strike(chat: Terminal): void; after?(chat: Terminal): Promise<void> }
  | { readonly on: 'pipe'; strike(chat: Piped): void; after?: undefined }
);

/** Every way, in the order of the requirements. */
export const ways: readonly Way[] = [
  {
    name: 'Ctrl+C',
    on: 'terminal',
    seen: { code: 0, signal: null },
    strike: (chat) => chat.key('ctrl+c'),
    // It ends the reply or clears the line, and the chat continues.
    after: async (chat) => {
      await chat.waitFor(/cancelled|press ctrl\+c again to save and quit/);
      await chat.waitFor(/» /);
      chat.key('ctrl+d');
    },
  },
  {
    name: 'Ctrl+C twice',
    on: 'terminal',
    seen: { code: null, signal: 'SIGINT' },
    strike: (chat) => {
      chat.key('ctrl+c');
      chat.key('ctrl+c');
    },
  },
  { name: 'Ctrl+D', on: 'terminal', seen: { code: 0, signal: null }, strike: (chat) => chat.key('ctrl+d') },
  { name: 'SIGINT', on: 'terminal', seen: { code: null, signal: 'SIGINT' }, strike: (chat) => chat.kill('SIGINT') },
  { name: 'SIGTERM', on: 'terminal', seen: { code: null, signal: 'SIGTERM' }, strike: (chat) => chat.kill('SIGTERM') },
  {
    name: 'SIGTERM twice, 4 ms apart',
    on: 'terminal',
    seen: { code: null, signal: 'SIGTERM' },
    strike: (chat) => {
      chat.kill('SIGTERM');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4);
      try {
        chat.kill('SIGTERM');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // the first one was enough
      }
    },
  },
  { name: 'SIGHUP', on: 'terminal', seen: { code: null, signal: 'SIGHUP' }, strike: (chat) => chat.kill('SIGHUP') },
  {
    name: 'an uncaught exception',
    on: 'terminal',
    seen: { code: 1, signal: null },
    strike: (chat) => chat.kill('SIGUSR2'),
  },
  {
    name: 'the end of input',
    on: 'pipe',
    seen: { code: 0, signal: null },
    strike: (chat) => chat.endInput(),
  },
  {
    name: 'the terminal closed',
    on: 'terminal',
    seen: { code: null, signal: 'SIGHUP' },
    strike: (chat) => chat.hangUp(),
  },
];
