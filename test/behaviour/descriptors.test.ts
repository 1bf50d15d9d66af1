import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireSandbox } from '../chat/tools/support.ts';
import { makePlace, type Place } from '../support/coffer.ts';
import { PROGRAM } from '../support/program.ts';

/** Starts coffer from a shell that has opened some descriptors. */
function start(
  place: Place,
  open: string,
  args: readonly string[],
  env: Record<string, string> = {},
): { code: number | null; stdout: string; stderr: string } {
  const credentials = { CREDENTIALS_DIRECTORY: place.credentials };
  const { COFFER_KEY_FD: _, ...own } = place.env;
  const script = `${open}; exec "$@"`;
  const {
    status: code,
    stdout,
    stderr,
  } = spawnSync('bash', ['-c', script, 'bash', process.execPath, PROGRAM, ...args], {
    cwd: place.project,
    env: { ...own, ...credentials, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { code, stdout, stderr };
}

/**
 * Opens a descriptor on the output of a command. bash closes the descriptor that it chose, 63,
 * afterwards.
 */
const piped = (fd: number, command: string): string => `exec 200< <(${command}); exec ${fd}<&200 200<&-`;

describe('descriptors that coffer inherits', () => {
  it.for(['required', 'off'] as const)("don't reach the processes it starts: sandbox %s", async (sandbox, context) => {
    if (process.platform !== 'linux') context.skip('Linux has /proc');
    if (sandbox === 'required') requireSandbox(context);
    await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox } });
    const secret = join(place.temp, 'secret');
    writeFileSync(secret, 'the secret\n');
    const numbers = [3, 10, 15, 16, 17, 40, 63, 100, 255];
    const open = numbers.map((fd) => piped(fd, `cat ${secret}`)).join('; ');
    const command = `for n in ${numbers.join(' ')}; do cat /proc/self/fd/$n; done 2>/dev/null; ls /proc/self/fd; echo end`;
    const ran = start(place, open, ['--model', 'demo/tools', '-p', `run ${command}`]);
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.stdout).toContain('end');
    expect(ran.stdout).not.toContain('the secret');
    // 3 is the listing itself, and sh has 10 for its script.
    expect(ran.stdout.match(/^\d+$/gm)?.filter((fd) => Number(fd) > 15)).toEqual([]);
  });

  it.for([63, 100])("are read if the key is on one, and don't reach the processes it starts: %i", async (fd) => {
    await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox: 'off' } });
    const open = `exec ${fd}< ${join(place.credentials, 'coffer-key')}`;
    const env = { COFFER_KEY_FD: `${fd}`, CREDENTIALS_DIRECTORY: '' };
    const ran = start(place, open, ['--model', 'demo/tools', '-p', `run ls /proc/self/fd | grep -c ^${fd}$`], env);
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^0\n/) });
    const pipe = piped(fd, `cat ${join(place.credentials, 'coffer-key')}`);
    const listed = start(place, pipe, ['sessions'], env);
    expect(listed).toMatchObject({ code: 0, stdout: expect.stringContaining('(1)') });
  });

  it.for(['required', 'off'] as const)(
    "don't reach the processes it starts if a variable names one and it is never read: sandbox %s",
    async (sandbox, context) => {
      if (process.platform !== 'linux') context.skip('Linux has /proc');
      if (sandbox === 'required') requireSandbox(context);
      await using place = await makePlace({ settings: { permissions: { allow: ['command'] }, sandbox } });
      const secret = join(place.temp, 'secret');
      writeFileSync(secret, 'the secret\n');
      const open = `exec 63< ${secret}; ${piped(100, `cat ${secret}`)}`;
      const env = { ONE: '/dev/fd/63', OTHER: '/proc/self/fd/100' };
      const command = 'for n in 63 100; do cat /proc/self/fd/$n; done 2>/dev/null; echo end';
      const ran = start(place, open, ['--model', 'demo/tools', '-p', `run ${command}`], env);
      expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^end$/m) });
      expect(ran.stdout).not.toContain('the secret');
    },
  );

  it('are read if a passphrase is on one', async () => {
    await using place = await makePlace();
    const env = { COFFER_KEYCHAIN: 'passphrase', COFFER_PASSPHRASE_FILE: '/dev/fd/63', CREDENTIALS_DIRECTORY: '' };
    const open = piped(63, 'echo correct horse');
    expect(start(place, open, ['--model', 'demo/echo', '-p', 'x'], env)).toMatchObject({
      code: 0,
      stdout: 'echo: x\n',
    });
    expect(start(place, open, ['sessions'], env)).toMatchObject({ code: 0, stdout: expect.stringContaining('(1)') });
    expect(start(place, piped(63, 'echo wrong'), ['sessions'], env)).toMatchObject({ code: 12 });
  });
});
