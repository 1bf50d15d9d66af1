import { openVault } from '../../src/session/open-vault.ts';
import type { Place } from '../support/coffer.ts';
import type { ModelServer } from '../support/model-server.ts';
import { Terminal } from '../support/pty.ts';
import { type Chat, Piped } from './exits-chat.ts';
import type { Hold } from './exits-hold.ts';

/** A chat on its way to the moment at which it ends. */
export interface Scene {
  readonly place: Place;
  readonly chat: Chat;
  readonly server: ModelServer;
  readonly hold: Hold;
}

/** The activity of a chat when its end comes. */
export interface Moment {
  readonly name: string;
  /** The first words of the messages that must exist afterwards. */
  readonly kept: readonly string[];
  /** The reply that must exist, marked as cut short, unless the chat waits for its end. */
  readonly partial?: string;
  readonly args: readonly string[];
  /** Milliseconds between two saves of a streaming reply. */
  readonly saveInterval?: number;
  /** Prepares the vault. */
  prepare?(place: Place): Promise<void>;
  /** Brings the chat to the moment. If a save is under way then, it is held. */
  reach(scene: Scene): Promise<void>;
  /** Whether the input has already ended. */
  readonly closing?: true;
}

const echo = ['--model', 'demo/echo'];
const held = ['--model', 'held/steady'];

export const moments: readonly Moment[] = [
  {
    name: 'idle',
    kept: ['one', 'echo:'],
    args: echo,
    reach: async ({ chat }) => {
      await exchange(chat);
    },
  },
  {
    name: 'streaming',
    kept: ['one', 'part'],
    partial: 'part 1 part 2 ',
    args: held,
    reach: stream,
  },
  {
    name: 'making the folder of the first save',
    kept: ['one'],
    args: echo,
    reach: (scene) => holding(scene, () => scene.chat.enter('one'), 'main'),
  },
  {
    name: 'saving for the first time',
    kept: ['one'],
    args: echo,
    reach: (scene) => holding(scene, () => scene.chat.enter('one')),
  },
  {
    name: 'overwriting',
    kept: ['one', 'echo:', 'two'],
    args: echo,
    reach: async (scene) => {
      await exchange(scene.chat);
      await holding(scene, () => scene.chat.enter('two'));
    },
  },
  {
    name: 'appending',
    kept: ['large', 'two'],
    args: ['resume', '1', ...echo],
    prepare: async (place) => {
      await using vault = await openVault({ directory: place.data, env: place.libraryEnv });
      const session = vault.begin({ directory: place.project, model: 'demo/echo' });
      await session.append({ type: 'message', message: { role: 'user', content: `large ${'text '.repeat(60_000)}` } });
    },
    reach: (scene) => holding(scene, () => scene.chat.enter('two')),
  },
  {
    name: 'saving a draft',
    kept: ['one', 'part'],
    partial: 'part 1 part 2 ',
    args: held,
    saveInterval: 1000,
    reach: async (scene) => {
      await stream(scene);
      await holding(scene, () => undefined); // it comes without input
    },
  },
  {
    name: 'taking a snapshot',
    kept: ['one', 'echo:'],
    args: echo,
    reach: async (scene) => {
      await exchange(scene.chat);
      await holding(scene, () => scene.chat.enter('/save'));
    },
  },
  {
    name: 'closing',
    kept: ['one', 'echo:'],
    args: echo,
    closing: true,
    reach: async (scene) => {
      await exchange(scene.chat);
      await holding(scene, () => (scene.chat as Terminal).key('ctrl+d'));
    },
  },
];

/** Resolves when the chat waits for a line. A pipe shows no prompt and needs none. */
export async function prompted(chat: Chat): Promise<void> {
  if (chat instanceof Terminal) await chat.waitFor(/» /);
}

async function exchange(chat: Chat): Promise<void> {
  chat.enter('one');
  await chat.waitFor(/echo: one/);
  await prompted(chat);
}

/** Streams two parts of a reply until they are on the screen. */
async function stream({ chat, server }: Scene): Promise<void> {
  chat.enter('one');
  await server.streaming();
  server.release();
  await chat.waitFor(chat instanceof Piped ? /part 2/ : /part 1 part/);
}

async function holding({ chat, hold }: Scene, save: () => void, where?: 'main'): Promise<void> {
  await hold.attach(chat.pid);
  save();
  await hold.reached(where);
}
