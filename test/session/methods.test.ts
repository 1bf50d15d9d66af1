import { expect, it } from 'vitest';
import type { Row } from '../../src/session/list/row.ts';
import { begin, home, reply, texts, user } from '../support/vault.ts';

it('searches, follows, rewinds and redacts through the objects of the library', async () => {
  const at = home();
  await using vault = await at.open();
  const session = begin(vault);
  await session.append(user('a needle'), reply('found'), user('a secret'), reply('told'));
  const found: Row[] = [];
  for await (const { row } of vault.search('NEEDLE')) found.push(row);
  expect(found.map(({ uuid }) => uuid)).toEqual([session.uuid]);
  await expect(vault.search(' ').next()).rejects.toMatchObject({ code: 'USAGE' });
  const types: string[] = [];
  const ended = new AbortController();
  for await (const { id, type } of vault.follow(found[0]!, ended.signal)) {
    types.push(type);
    if (id === session.state.lastEvent) ended.abort();
  }
  expect(types).toEqual(session.events.map(({ type }) => type));
  expect(await session.rewind()).toEqual({ prompts: 1, of: 2, cut: 2 });
  expect(texts(session)).toEqual(['a needle', 'found']);
  expect(await session.redact('secret')).toBe(1);
  expect(JSON.stringify(session.events)).not.toContain('secret');
  expect(await session.redact('secret')).toBe(0);
});
