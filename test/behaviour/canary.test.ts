import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { newCanary, searchFor } from '../support/canary.ts';
import { makePlace, type Place, type Start } from '../support/coffer.ts';

const repository = join(import.meta.dirname, '..', '..');

beforeEach(requirePosix);

describe('a text typed in a chat, as a name and in a path', () => {
  it('is not found in the data, configuration, temporary or home directory', async () => {
    await using place = await makePlace();
    const canary = newCanary();
    await talk(place, canary);
    expect(await place.sessionFiles()).toHaveLength(4);
    expect(await searchFor(canary, searched(place))).toEqual([]);
  });

  it('is found there, plain and compressed, when sealing is replaced by the identity', async () => {
    await using place = await makePlace();
    const canary = newCanary();
    await talk(place, canary, { sources: await unsealingCopy(place) });
    expect(await place.sessionFiles()).toHaveLength(4);
    const found = await searchFor(canary, searched(place));
    const files = new Set(found.map(({ path }) => path));
    expect(files.size).toBe(4);
    expect(found.some(({ as }) => as.startsWith('zstd at '))).toBe(true);
    expect(found.some(({ as }) => as === 'utf8')).toBe(true);
  });
});

function searched(place: Place): string[] {
  return [place.data, place.config, place.temp, place.home];
}

/**
 * Holds one dialogue over pipes that ends normally, and one on a terminal that is killed. Leaves
 * two sessions and two snapshots, with the path among the sealed bytes, and lines long enough to be
 * compressed.
 */
async function talk(place: Place, canary: string, start: Start = {}): Promise<void> {
  const project = join(place.project, canary);
  await mkdir(project);
  const args = ['--path', project, '--model', 'demo/echo'];
  const input = [
    `${canary} and again: ${canary} ${'once more the same words '.repeat(20)}`,
    `/save ${canary}`,
    '/sessions',
    '/help',
    `/resume ${canary}-nowhere`,
    `/${canary}`,
    `/model ${canary}/model`,
    '/exit',
  ];
  const piped = await place.run(args, { ...start, input: `${input.join('\n')}\n` });
  expect(piped.stdout).toContain(`echo: ${canary}`);
  expect(piped.stdout).toContain('session saved: ');

  await using typed = place.terminal(args, start);
  await typed.waitFor(/» /);
  typed.enter(`typed: ${canary}`);
  await typed.waitFor(/echo: typed: /);
  await typed.waitFor(/» /);
  typed.enter(`/save second ${canary}`);
  await typed.waitFor(/session saved: /);
  await typed.waitFor(/» /);
  typed.type(`begun and not sent: ${canary}`);
  await typed.waitFor(/begun and not sent: /);
  typed.kill('SIGKILL');
  await typed.exit;

  const listed = await place.run(['sessions'], start);
  expect(listed.stdout).toContain(canary);
  expect((await place.run(['export', '1'], start)).stdout).toContain(canary);
  expect((await place.run(['doctor'], start)).code).toBe(0);
}

/**
 * Copies the sources into another folder with a cipher that passes plaintext through, to show what
 * sealing hides.
 */
async function unsealingCopy(place: Place): Promise<string> {
  const copy = join(place.root, 'copy');
  for (const name of ['src', 'native-fallback', 'package.json']) {
    await cp(join(repository, name), join(copy, name), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'));
  const seal = join(copy, 'src', 'envelope', 'seal.ts');
  const source = await readFile(seal, 'utf8');
  const without = source.replace(/import \{([^}]*)\} from 'node:crypto';/, (_, names: string) => {
    const kept = names.split(',').filter((name) => !/createCipheriv|createDecipheriv/.test(name));
    return `import {${kept.join(',')}} from 'node:crypto';\nimport { createCipheriv, createDecipheriv } from './identity.ts';`;
  });
  expect(without).not.toBe(source);
  await writeFile(seal, without);
  await writeFile(join(copy, 'src', 'envelope', 'identity.ts'), identity);
  return copy;
}

const identity = `
const through = () => ({
  update: (bytes) => Buffer.from(bytes),
  final: () => Buffer.alloc(0),
  getAuthTag: () => Buffer.alloc(16),
  setAuthTag() {
    return this;
  },
});
export const createCipheriv: typeof import('node:crypto').createCipheriv = through as never;
export const createDecipheriv: typeof import('node:crypto').createDecipheriv = through as never;
`;
