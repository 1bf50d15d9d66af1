import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CofferError } from '../../src/errors.ts';
import { startBrokerEarly } from '../../src/keyring/broker/broker-start.ts';
import { redactionOf, redactSession } from '../../src/session/change/redact.ts';
import { keepingCaches } from '../../src/session/change/removal.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import type { Row } from '../../src/session/list/row.ts';
import { openVault, sessionsOf } from '../../src/session/open-vault.ts';
import { search } from '../../src/session/search/search.ts';
import type { Session } from '../../src/session/session.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import { clock } from './clock.ts';
import type { Asked } from './driven.ts';

/*
 * The vault in a separate process, to be killed, stopped and starved. It carries out each line of
 * stdin, and answers with a line of JSON once that is durable, or with the reason why it is not.
 * COFFER_DATA_DIR says which vault, COFFER_KEYCHAIN where its key is.
 */

let vault!: Sessions;
let unknown: string | undefined;
const onDistrust = ({ code }: CofferError): void => {
  unknown = code;
};
let session: Session;

const verbs: Record<Asked['do'], (asked: Asked) => Promise<object | undefined>> = {
  /** Makes the pool start its thread, so that a tracer finds it. */
  wake: async () => {
    await stat('.');
    return undefined;
  },
  /**
   * Starts the keychain's broker as a chat does while it loads, waits until it is ready, and
   * returns its process id.
   */
  broker: async () => {
    const broker = startBrokerEarly(process.env);
    await broker.ready(10_000);
    return { pid: broker.pid };
  },
  /** Opens the vault as a chat does: the key is requested when something is to be saved. */
  vault: async () => {
    vault = sessionsOf({ onDistrust });
    return undefined;
  },
  open: async () => {
    vault = await openVault({ onDistrust });
    return vault.keys.status;
  },
  begin: async () => {
    session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
    return undefined;
  },
  /** Makes one step durable; its text is padded with noise to `size` bytes. */
  step: async (asked) => {
    await session.append(...eventsOf(asked));
    return { fileId: session.fileId, id: session.id };
  },
  /** Like `step`, but as a chat saves: never throws, `unsaved` reports the error. */
  record: async (asked) => {
    await session.record(...eventsOf(asked));
    const { unsaved } = session;
    return { fileId: session.fileId, unsaved: unsaved && { code: unsaved.error.code, message: unsaved.error.message } };
  },
  snapshot: async ({ text }) => session.save(text),
  finalSave: async () => {
    session.finalSave();
    return undefined;
  },
  resume: async ({ text = '' }) => {
    session = await vault.resume(await vault.find(text));
    return { fileId: session.fileId, lost: session.lost };
  },
  close: async () => {
    await session.close();
    return undefined;
  },
  /** Rotates the vault's key; slots are dropped. */
  rotate: async () => {
    const nobody = {
      passphrase: async () => undefined,
      confirmCode: async () => undefined,
      onDropped: () => undefined,
    };
    const { from, to, resealed, remaining } = await vault.keys.rotate(nobody);
    return { from, to, resealed, remaining: remaining.length };
  },
  /**
   * Adds a passphrase slot, or a recovery code without a `text`, which is not printed. Answers with
   * the id of the slot.
   */
  addSlot: async ({ text }) =>
    text === undefined ? vault.keys.slots.addRecoveryCode(async (code) => code) : vault.keys.slots.addPassphrase(text),
  /** Removes the slot that `text` names. */
  removeSlot: async ({ text = '' }) => vault.keys.slots.remove(text),
  /**
   * Ends the session while it is folded: the final save comes as soon as the event loop is free.
   */
  overtake: async () => {
    const closed = session.close();
    await nextTurn();
    session.finalSave();
    await closed;
    return undefined;
  },
  /**
   * Finds the sessions that contain a text, and waits until the cache for the next search is
   * written.
   */
  search: async ({ text = '' }) => {
    const found: string[] = [];
    for await (const { row } of search(vault, await vault.list(), text)) found.push(row.fileId);
    await vault.upkeep.settle();
    return { found };
  },
  /** Removes a session as `coffer delete` does. */
  remove: async ({ fileId }) => {
    const row = await rowOf(fileId);
    await keepingCaches(vault, [row], () => vault.delete(row));
    return undefined;
  },
  /** Removes a text from a session as `coffer redact` does. */
  redact: async ({ fileId, text = '' }) => {
    await vault.change(await rowOf(fileId), (session) => redactSession(session, redactionOf(text)));
    return undefined;
  },
  list: async () => ({
    rows: (await vault.list()).map(({ fileId, label, unreadable }) => [fileId, label, unreadable?.code]),
  }),
};

async function rowOf(fileId: string | undefined): Promise<Row> {
  const row = (await vault.list()).find((one) => one.fileId === fileId);
  if (!row) throw new Error(`there is no session in ${fileId}`);
  return row;
}

function eventsOf({ text = '', size = 0, reply }: Asked): NewEvent[] {
  const event: NewEvent = { type: 'message', message: { role: 'user', content: padded(text, size) } };
  if (!reply) return [event];
  return [event, { type: 'message', message: { role: 'assistant', content: `${text}-reply to ${text}` } }];
}

/**
 * Returns text that does not compress, so that a size is a size on disk as well. The same text
 * yields the same result.
 */
function padded(text: string, size: number): string {
  let state = 2_166_136_261;
  for (const byte of Buffer.from(text)) state = Math.imul(state ^ byte, 16_777_619);
  const noise = Buffer.alloc(Math.max(0, Math.ceil(((size - text.length) * 3) / 4)));
  for (let index = 0; index < noise.length; index++) {
    state = Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e37_79b9;
    noise[index] = state >>> 24;
  }
  return `${text} ${noise.toString('base64')}`;
}

// Without a handler a file size limit ends Node before the system call can return EFBIG.
process.on('SIGXFSZ', () => undefined);
// An injected error may hit an answer instead of the vault. Then the caller sees this process end.
process.stdout.on('error', () => process.exit(1));
say({ ready: process.pid });
for await (const line of createInterface({ input: process.stdin })) {
  const began = clock();
  const asked = JSON.parse(line) as Asked;
  try {
    const answer = await verbs[asked.do](asked);
    say({ ok: true, ...answer, unmarked: vault?.upkeep.unmarked?.code, unknown, began, done: clock() });
  } catch (error) {
    const { code, message, stack } = error as NodeJS.ErrnoException;
    say({ ok: false, error: { code, message, stack }, began, done: clock() });
  }
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
