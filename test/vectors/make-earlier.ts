import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NewEvent, openVault } from '../../src/index.ts';

/*
 * Writes test/vectors/earlier: sessions with events that coffer once accepted and later could not
 * read. Run it in a checkout of 4cdcf56, the last version that accepts them: node
 * test/vectors/make-earlier.ts <folder>.
 */

const user = (content: unknown): object => ({ type: 'message', message: { role: 'user', content } });
const usage = (used: object): object => ({
  type: 'usage',
  model: 'demo/echo',
  usage: { inputTokens: 1, outputTokens: 1, cost: null, ...used },
});

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}

const request = { type: 'tool-approval-request', approvalId: 'a', toolCallId: 'c' };
const result = { type: 'tool-result', toolCallId: 'c', toolName: 't', output: nested(3000) };

/** The events that a session gets between two messages, "before" and "after". */
const odd: Readonly<Record<string, { about: string; events: unknown[] }>> = {
  'usage-fraction': { about: 'a server that reports one and a half tokens', events: [usage({ inputTokens: 1.5 })] },
  'usage-negative': { about: 'a server that reports -1 tokens', events: [usage({ outputTokens: -1 })] },
  'cost-negative': { about: 'a cost below nothing', events: [usage({ cost: -0.5 })] },
  image: {
    about: 'an image part',
    events: [user([{ type: 'image', image: 'aGVsbG8=' }])],
  },
  bytes: {
    about: 'a file part whose data are bytes',
    events: [user([{ type: 'file', mediaType: 'text/plain', data: Buffer.from('hello') }])],
  },
  'approval-request': {
    about: 'a part that asks for an approval',
    events: [{ type: 'message', message: { role: 'assistant', content: [request] } }],
  },
  developer: { about: 'the role developer', events: [{ type: 'message', message: { role: 'developer', content: 'x' } }] },
  nothing: { about: 'undefined in place of an event', events: [undefined] },
  foreign: {
    about: 'events of another session, with their ids and times',
    events: [1, 2, 3, 4].map((id) => ({ id, ts: 1000 + id, ...user(`foreign ${id}`) })),
  },
  time: { about: 'a time that no Date can hold', events: [{ ts: 9e15, ...user('late') }] },
  deep: { about: 'a result nested 3,000 levels deep', events: [{ type: 'message', message: { role: 'tool', content: [result] } }] },
};

const [folder = ''] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
for (const [name, { about, events }] of Object.entries(odd)) {
  const place = mkdtempSync(join(tmpdir(), 'coffer-earlier-'));
  writeFileSync(join(place, 'coffer-key'), 'a'.repeat(64), { mode: 0o600 });
  const directory = join(place, 'vault');
  const sessions = await openVault({ directory, env: { COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: place } });
  const session = sessions.begin({ directory: '/work/project', model: 'demo/echo' });
  await session.append(user('before') as NewEvent);
  await session.append(...(events as NewEvent[]));
  await session.append(user('after') as NewEvent);
  await sessions.close();
  const file = readFileSync(join(directory, 'sessions', session.fileId ?? '')).toString('base64');
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ about, fileId: session.fileId, file }, undefined, 2)}\n`);
  rmSync(place, { recursive: true });
}
