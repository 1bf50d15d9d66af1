import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireSandbox } from '../chat/tools/support.ts';
import { makePlace, type Place, type Result } from '../support/coffer.ts';
import { makeRepository } from '../support/repository.ts';

const repository = join(import.meta.dirname, '../..');

describe('code that a tool plants in .git', () => {
  it.for(['required', 'off'] as const)('is not run by the next start: sandbox %s', async (sandbox, context) => {
    if (sandbox === 'required') requireSandbox(context);
    await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox } });
    makeRepository(place.project);
    const { marker, evil } = trap(place);
    const options = [
      ['core.repositoryFormatVersion', '1'],
      ['extensions.partialClone', 'o'],
      ['remote.o.promisor', 'true'],
      ['remote.o.url', place.root],
      ['remote.o.uploadpack', evil],
      ['core.fsmonitor', evil],
    ];
    const plant = [
      ...options.map(([key, value]) => `git config ${key} ${value}`),
      `ln -s ${evil} .git/hooks/post-index-change`,
      'echo 1234567890123456789012345678901234567890 > .git/refs/heads/trunk',
    ];
    const planted = await tell(place, plant.join('; '));
    expect(planted).toMatchObject({ code: 0 });
    expect(existsSync(marker)).toBe(false);
    for (const args of [['-l'], ['sessions', '--here'], [...CHAT, '-c', '-p', 'x'], [...CHAT, '-p', 'x']]) {
      expect(await place.run(args)).toMatchObject({ code: 0 });
    }
    expect(existsSync(marker)).toBe(false);
    // The old way of calling git runs the planted code if no sandbox prevented the planting.
    spawnSync(process.execPath, [join(import.meta.dirname, 'hostile-before.ts'), place.project], { env: place.env });
    expect(existsSync(marker)).toBe(sandbox === 'off');
  });
});

describe("code that a tool plants in coffer's own package", () => {
  it.for(['required', 'off'] as const)(
    'is run by the next start only without a sandbox: %s',
    async (sandbox, context) => {
      if (sandbox === 'required') requireSandbox(context);
      await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox } });
      const { marker, evil } = trap(place);
      const sources = join(place.project, 'deep/coffer');
      mkdirSync(sources, { recursive: true });
      for (const name of ['src', 'native-fallback', 'package.json'])
        cpSync(join(repository, name), join(sources, name), { recursive: true });
      symlinkSync(join(repository, 'node_modules'), join(sources, 'node_modules'));
      const line = `process.getBuiltinModule('node:child_process').execFileSync('${evil}');`;
      const plant = [
        `sed -i "1a ${line}" deep/coffer/src/cli/main.ts`,
        'mv deep gone && mkdir deep && cp -r gone/coffer deep/coffer',
        `rm deep/coffer/node_modules; mkdir -p deep/coffer/node_modules`,
        `sed -i "1a ${line}" deep/coffer/src/cli/main.ts`,
      ];
      expect(await tell(place, plant.slice(0, sandbox === 'off' ? 1 : undefined).join('; '), sources)).toMatchObject({
        code: 0,
      });
      expect(existsSync(marker)).toBe(false);
      const next = await place.run(['sessions'], { sources });
      expect(existsSync(marker)).toBe(sandbox === 'off');
      if (sandbox === 'required') expect(next).toMatchObject({ code: 0, stdout: expect.stringContaining('(1)') });
    },
  );
});

const CHAT = ['--model', 'demo/echo'];

/** Has a model run a command. */
function tell(place: Place, command: string, sources?: string): Promise<Result> {
  return place.run(['--model', 'demo/tools', '-p', `run ${command}`], sources === undefined ? {} : { sources });
}

function trap({ root }: Place): { marker: string; evil: string } {
  const [marker, evil] = [join(root, 'marker'), join(root, 'evil')];
  writeFileSync(evil, `#!/bin/sh\n: > ${marker}\n`, { mode: 0o755 });
  return { marker, evil };
}
