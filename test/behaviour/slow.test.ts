import { type ChildProcess, execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { conversation, makePlace, type Place, usual } from '../support/coffer.ts';
import { type Bus, requireKeychain, startKeychain } from '../support/keychain.ts';
import { makeRepository } from '../support/repository.ts';

/**
 * Delay added to the keychain and git, in milliseconds: longer than any deadline coffer ever had
 * for them.
 */
const SLOWER = 5_000;

const CHAT = ['--model', 'demo/echo'];

describe.concurrent('a keychain that is five seconds slow', () => {
  beforeEach((context) => requireKeychain(context));

  it('delays no first message, and everything is saved', async () => {
    await using kept = await keep();
    const { place, bus } = kept;
    const slow = await slowDown(kept);
    const ran = place.run([...CHAT, '-p', 'later'], { ...usual(bus), onOutput: slow.note });
    expect(await ran).toMatchObject({ code: 0, stdout: 'echo: later\n' });
    expect(slow.early()).toBe('echo: later\n');
    expect(conversation(await place.exported('1', usual(bus)))).toEqual(['user: later', 'assistant: echo: later']);
  });

  it('makes a new vault', async () => {
    await using kept = await keep();
    const { place, bus } = kept;
    const start = usual(bus, { COFFER_DATA_DIR: join(place.root, 'another') });
    const slow = await slowDown(kept);
    const ran = await place.run(CHAT, { ...start, input: 'one\ntwo\n', onOutput: slow.note });
    expect(ran).toMatchObject({ code: 0, stdout: 'echo: one\necho: two\n' });
    expect(slow.early()).toBe('echo: one\necho: two\n');
    expect(conversation(await place.exported('1', start))).toHaveLength(4);
    expect(await bus.items()).toHaveLength(2);
  });

  it.for([[['sessions']], [['export', '1']], [[...CHAT, '-c', '-p', 'more']]] as const)(
    'is waited for by %j',
    async ([args]) => {
      await using kept = await keep();
      const slow = await slowDown(kept);
      expect(await kept.place.run(args, { ...usual(kept.bus), onOutput: slow.note })).toMatchObject({ code: 0 });
      expect(slow.early()).toBe('');
    },
  );

  it('lets a rotation of the key complete, at whatever point it is slow', async () => {
    await using kept = await keep();
    const { place, bus, daemon } = kept;
    for (let more = 0; more < 10; more++) await place.run(['save', '1'], usual(bus));
    const rotating = place.run(['key', 'rotate'], usual(bus));
    const isOver = rotating.then(() => 'over');
    // From now on only the removal of the old key needs the keychain.
    while (!readFileSync(join(place.data, 'vault.json'), 'utf8').includes('"retiring"')) await sleep(1);
    daemon.kill('SIGSTOP');
    expect(await Promise.race([isOver, sleep(SLOWER, 'waits')])).toBe('waits');
    daemon.kill('SIGCONT');
    expect(await rotating).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(join(place.data, 'vault.json'), 'utf8'))).not.toHaveProperty('retiring');
    expect(await bus.items()).toHaveLength(1);
  });

  it('is waited for at a terminal for as long as it takes, with a notice', async () => {
    await using kept = await keep();
    const { place, bus, daemon } = kept;
    daemon.kill('SIGSTOP');
    await using listing = place.terminal(['sessions'], usual(bus));
    await listing.waitFor(/waiting for the keychain; press ctrl\+c to stop/);
    await using left = place.terminal(['sessions'], usual(bus));
    await left.waitFor(/waiting for the keychain/);
    left.key('ctrl+c');
    expect(await left.exit).toMatchObject({ signal: 'SIGINT' });
    daemon.kill('SIGCONT');
    await listing.waitFor(/saved sessions \(1\)/);
    expect(await listing.exit).toEqual({ code: 0, signal: null });
  });

  it('saves a conversation at a terminal as soon as it answers', async () => {
    await using kept = await keep();
    const { place, bus, daemon } = kept;
    daemon.kill('SIGSTOP');
    await using chat = place.terminal(CHAT, usual(bus));
    await chat.waitFor(/demo\/echo, nothing is saved until the keychain answers/);
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/echo: one/);
    await chat.waitFor(/NOT SAVED since \d\d:\d\d: the keychain has not answered » /);
    chat.enter('/sessions');
    await chat.waitFor(/waiting for the keychain; press ctrl\+c to stop/);
    chat.key('ctrl+c');
    await chat.waitFor(/stopped waiting for the vault key/);
    await chat.waitFor(/ » /);
    daemon.kill('SIGCONT');
    // Type nothing: the arrival of the key alone must trigger the save.
    while ((await place.sessionFiles()).length < 2) await sleep(10);
    chat.enter('two');
    await chat.waitFor(/saved again/);
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(conversation(await place.exported('1', usual(bus)))).toHaveLength(4);
  });

  it('saves a conversation that ends at a terminal before it answers', async () => {
    await using kept = await keep();
    const { place, bus, daemon } = kept;
    daemon.kill('SIGSTOP');
    await using chat = place.terminal(CHAT, usual(bus));
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/NOT SAVED since \d\d:\d\d: the keychain has not answered » /);
    chat.key('ctrl+d');
    await chat.waitFor(/waiting for the keychain; press ctrl\+c to stop/);
    daemon.kill('SIGCONT');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    expect(conversation(await place.exported('1', usual(bus)))).toHaveLength(2);
  });
});

describe('git that is five seconds slow', () => {
  it('is waited for if it decides which session is meant, and delays no first message', async () => {
    await using place = await makePlace();
    const [old, moved] = [join(place.root, 'old'), join(place.root, 'moved')];
    makeRepository(old);
    {
      const git = slowGit(place, old);
      const onOutput = (): void => git.answer();
      const begun = await place.run([...CHAT, '-p', 'before'], { cwd: old, onOutput });
      expect(begun).toMatchObject({ code: 0, stdout: 'echo: before\n' });
    }
    renameSync(old, moved);
    for (const args of [[...CHAT, '-c', '-p', 'after'], ['-l'], ['sessions', '--here']]) {
      const git = slowGit(place, moved);
      const ran = place.run(args, { cwd: moved });
      await git.called();
      await sleep(SLOWER);
      git.answer();
      expect(await ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/echo: after|sessions .*\(1\):/) });
    }
    expect(conversation(await place.exported('1'))).toHaveLength(4);
  });

  it('is reported at a terminal, and assigns the conversation begun meanwhile to its project', async () => {
    await using place = await makePlace();
    const old = join(place.root, 'old');
    makeRepository(old);
    const git = slowGit(place, old);
    await using listing = place.terminal(['-l'], { cwd: old });
    await listing.waitFor(/waiting for git; press ctrl\+c to stop/);
    await using chat = place.terminal(CHAT, { cwd: old });
    await chat.waitFor(/» /);
    chat.enter('one');
    await chat.waitFor(/echo: one/);
    await chat.waitFor(/» /);
    git.answer();
    await listing.waitFor(/sessions of/);
    chat.enter('two');
    await chat.waitFor(/echo: two/);
    await chat.waitFor(/» /);
    chat.key('ctrl+d');
    expect(await chat.exit).toEqual({ code: 0, signal: null });
    renameSync(old, join(place.root, 'moved'));
    const again = await place.run([...CHAT, '-c', '-p', 'three'], { cwd: join(place.root, 'moved') });
    expect(again).toMatchObject({ code: 0 });
    expect(conversation(await place.exported('1'))).toHaveLength(6);
  });

  it('that never answers is named, and no other session is taken', async () => {
    await using place = await makePlace();
    makeRepository(place.project);
    await place.run([...CHAT, '-p', 'here']);
    slowGit(place, place.project);
    const refused = await place.run([...CHAT, '-c', '-p', 'x']);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^coffer: git did not answer in .*project within 14 s, so its project is unknown; /);
    const begun = await place.run([...CHAT, '-p', 'anew']);
    expect(begun).toMatchObject({ code: 0, stdout: 'echo: anew\n' });
    expect(await place.sessionFiles()).toHaveLength(2);
  });
});

interface Kept extends AsyncDisposable {
  readonly place: Place;
  readonly bus: Bus;
  readonly daemon: ChildProcess;
}

/** Makes a real keychain, and a vault with one session whose key it holds. */
async function keep(): Promise<Kept> {
  const bus = await startKeychain();
  const place = await makePlace();
  const begun = await place.run(CHAT, { ...usual(bus), input: 'hello\n' });
  if (begun.code !== 0) throw new Error(begun.stderr);
  const daemon = bus.keyring;
  return {
    place,
    bus,
    daemon,
    [Symbol.asyncDispose]: async () => {
      daemon.kill('SIGCONT');
      await place[Symbol.asyncDispose]();
      await bus.dispose();
    },
  };
}

/**
 * Stops a keychain, as a busy machine does, and resumes it five seconds after the first call to it.
 */
async function slowDown({ bus, daemon }: Kept): Promise<{ note(text: string): void; early(): string }> {
  const { called } = await bus.watch('org.freedesktop.secrets');
  daemon.kill('SIGSTOP');
  let wentOn = false;
  let early = '';
  const goOn = async (): Promise<void> => {
    await called;
    await sleep(SLOWER);
    wentOn = true;
    daemon.kill('SIGCONT');
  };
  goOn().catch(() => undefined); // the bus ended before coffer asked: the test's own expectation fails
  return {
    /** Receives what coffer has written so far. */
    note: (text) => {
      if (!wentOn) early = text;
    },
    /** Returns what coffer had written before the keychain resumed. */
    early: () => early,
  };
}

/**
 * Makes the system's own git slow in a repository: its configuration includes a pipe, which git
 * reads to its end. It answers once the pipe is replaced by an empty file. This way no fake git has
 * to be put into the directories from which coffer takes git.
 */
function slowGit({ root }: Place, repository: string): { called(): Promise<void>; answer(): void } {
  const folder = mkdtempSync(join(root, 'slow-'));
  const [pipe, kept, empty] = ['pipe', 'kept', 'empty'].map((name) => join(folder, name)) as [string, string, string];
  execFileSync('mkfifo', [pipe]);
  linkSync(pipe, kept);
  execFileSync('git', ['config', '--file', join(repository, '.git/config'), 'include.path', pipe]);
  let held: number | undefined;
  return {
    called: async () => {
      for (; ; await sleep(10)) {
        try {
          held = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
          return;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error; // no reader has opened it yet
        }
      }
    },
    answer: () => {
      writeFileSync(empty, '');
      renameSync(empty, pipe);
      closeSync(held ?? openSync(kept, constants.O_RDWR | constants.O_NONBLOCK));
      held = undefined;
    },
  };
}
