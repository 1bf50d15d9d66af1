import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makePlace } from '../support/coffer.ts';

describe('bad settings', () => {
  it('are told one line per fault, with the key, what it has and what it may be', async () => {
    await using place = await makePlace({
      settings: {
        saveintervall: 5,
        autoSave: 'yes',
        saveInterval: 10,
        maxMessages: 0,
        providers: { mine: { baseUrl: 'x' } },
      },
    });
    for (const args of [[], ['sessions'], ['export', '1']]) {
      const { code, stdout, stderr } = await place.run(args, { input: 'hello\n' });
      expect(code).toBe(2);
      expect(stdout).toBe('');
      const lines = stderr.trim().split('\n');
      const faults = lines.filter((line) => !line.includes('settings.json'));
      expect(faults).toHaveLength(5);
      expect(faults).toContainEqual(expect.stringMatching(/saveintervall.*unknown.*saveInterval/));
      expect(faults).toContainEqual(expect.stringMatching(/autoSave.*"yes".*true or false/));
      expect(faults).toContainEqual(expect.stringMatching(/saveInterval.*10.*1000/));
      expect(faults).toContainEqual(expect.stringMatching(/maxMessages.*0.*at least 1/));
      expect(faults).toContainEqual(expect.stringMatching(/providers\.mine\.baseUrl.*unknown.*baseURL/));
      expect(lines.join('\n')).toContain(join(place.config, 'settings.json'));
    }
    expect(await place.run(['--version'])).toMatchObject({ code: 0 });
  });

  it('that are no JSON are told with the place', async () => {
    await using place = await makePlace();
    await writeFile(join(place.config, 'settings.json'), '{\n  "autoSave": true\n  "model": "demo/echo"\n}\n');
    const { code, stderr } = await place.run([], { input: 'hello\n' });
    expect(code).toBe(2);
    expect(stderr).toMatch(/settings\.json/);
    expect(stderr).toMatch(/line 3/);
  });

  it('do not come from the defaults written out', async () => {
    const settings = { autoSave: true, saveInterval: 30_000, maxSessions: 100, maxMessages: 1000, retentionDays: 30 };
    await using place = await makePlace({ settings });
    expect(await place.run(['--model', 'demo/echo'], { input: 'hello\n' })).toMatchObject({ code: 0 });
  });
});
