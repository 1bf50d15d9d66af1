import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const guarded = fileURLToPath(new URL('./guarded.ts', import.meta.url));

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  said: string[];
}

/** Runs guarded.ts; sends it `signals` as soon as it is ready. */
async function run(how: string, ...signals: NodeJS.Signals[]): Promise<Ended> {
  const child = spawn(process.execPath, [guarded, how], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (data: Buffer) => {
    const before = said;
    said += data;
    if (said.includes('ready') && !before.includes('ready')) for (const signal of signals) child.kill(signal);
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, said: said.split('\n').slice(0, -1) };
}

describe('guard', () => {
  it.each<NodeJS.Signals>(['SIGINT', 'SIGTERM', 'SIGHUP'])('saves, then ends by %s', async (signal) => {
    expect(await run('', signal)).toEqual({ code: null, signal, said: ['ready', 'saving', 'saved', 'restored'] });
  });

  it('is not cut short by more signals, and saves once', async () => {
    const { signal, said } = await run('twice', 'SIGTERM', 'SIGTERM');
    expect(signal).not.toBeNull();
    expect(said).toEqual(['ready', 'saving', 'saved', 'restored']);
  });

  it('says what was lost, and still ends by the signal', async () => {
    const said = ['ready', 'saving', 'lost: disk full', 'restored'];
    expect(await run('failing', 'SIGTERM')).toEqual({ code: null, signal: 'SIGTERM', said });
  });

  it('saves at an exit, which keeps its code', async () => {
    expect(await run('exit')).toEqual({ code: 3, signal: null, said: ['ready', 'saving', 'saved'] });
  });

  it('turns the code of an exit that could not save', async () => {
    expect(await run('exit failing')).toEqual({ code: 15, signal: null, said: ['ready', 'saving', 'lost: disk full'] });
  });

  it('saves at an uncaught exception', async () => {
    expect(await run('throw')).toMatchObject({ code: 1, said: ['ready', 'saving', 'saved'] });
  });

  it('ends by a signal that the terminal never sent', async () => {
    expect(await run('end')).toMatchObject({ signal: 'SIGHUP', said: ['ready', 'saving', 'saved', 'restored'] });
  });

  it('leaves with the code of the signal where raising it ends nothing', async () => {
    const said = ['ready', 'saving', 'saved', 'restored', 'left with 143'];
    expect(await run('immortal', 'SIGTERM')).toEqual({ code: 143, signal: null, said });
  });

  it('does nothing once it is disposed', async () => {
    expect(await run('disposed', 'SIGTERM')).toEqual({ code: null, signal: 'SIGTERM', said: ['ready'] });
    expect(await run('disposed, then exit')).toEqual({ code: 3, signal: null, said: ['ready'] });
  });
});

describe('tameSignals', () => {
  it('keeps SIGUSR1 and SIGXFSZ from doing anything', async () => {
    const { signal, said } = await run('', 'SIGUSR1', 'SIGXFSZ', 'SIGTERM');
    expect(signal).toBe('SIGTERM');
    expect(said).toEqual(['ready', 'saving', 'saved', 'restored']);
  });
});
