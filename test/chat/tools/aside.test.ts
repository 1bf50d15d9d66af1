import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { putAside } from '../../../src/chat/sandbox/aside.ts';
import { temporaryFolder } from '../../support/vault.ts';

it('putAside renames what is new, and skips what another process has removed meanwhile', async () => {
  const folder = temporaryFolder();
  const [gone, planted] = [join(folder, 'gone'), join(folder, 'planted')];
  writeFileSync(planted, '');
  const nothing = { guarded: new Map(), secrets: [], unseen: [] };
  const guarded = new Map([gone, planted].map((path) => [path, path]));
  const aside = await putAside(nothing, { ...nothing, guarded }, []);
  expect(aside).toEqual([{ from: planted, to: `${planted}.put-aside` }]);
  expect(existsSync(planted)).toBe(false);
});
