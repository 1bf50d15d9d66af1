import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openVault } from '../../src/index.ts';
import { makeFolder } from '../cli/fake-terminal.ts';
import { smallDisk } from '../files/facilities.ts';
import { temporaryFolder } from '../support/vault.ts';
import { type Command, commands, type Ended, end, endApart } from './bad-input-commands.ts';
import { digest, type Subject, states, usual } from './bad-input-states.ts';

/** These only read, whatever comes of it. */
const readers: ReadonlySet<string> = new Set(['sessions', 'export', 'doctor', 'key list', 'recover']);

const NOBODY = 65_534;

let folder: string;
let env: Record<string, string>;
let template: Omit<Subject, 'root' | 'vault'>;

beforeAll(async () => {
  ({ folder, env } = await makeFolder());
  env = { ...env, HOME: folder };
  await using vault = await openVault({ directory: join(folder, 'vault'), env });
  await using session = vault.begin({ directory: folder, model: 'demo/echo' });
  await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
  await session.save('a snapshot');
  const { id } = await vault.slots.addPassphrase('secret');
  template = { fileId: session.fileId ?? '', slot: id };
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the vault in a folder of its own. */
function subjectIn(root: string): Subject {
  const vault = join(root, 'vault');
  execFileSync('cp', ['-a', join(folder, 'vault'), vault]); // modes and times as well, which cpSync takes from the umask
  return { root, vault, ...template };
}

/** What is wrong with how a command ended: another code, more than one line of complaint, a bug, a change. */
function faultsOf(command: Command, ended: Ended, code: number | undefined, changes: readonly string[]): string[] {
  const { name } = command;
  const faults = ended.bug === undefined ? [] : [`a bug: ${ended.bug}`];
  if (ended.code !== code) faults.push(`ends with ${ended.code} instead of ${code}: ${ended.err}${ended.out}`);
  const complaints = ended.err.split('\n').filter((line) => line.startsWith('coffer: '));
  const isTold = name === 'doctor' && ended.out.endsWith('not all is well\n');
  if (complaints.length !== (ended.code === 0 || isTold ? 0 : 1)) faults.push(`says ${ended.err}`);
  if ((ended.code !== 0 || readers.has(name)) && changes.length > 0) faults.push(`changes ${changes.join(', ')}`);
  return faults.map((fault) => `coffer ${name} ${fault}`);
}

function changesIn(root: string, before: readonly string[]): string[] {
  const known = new Set(before);
  const after = digest(root);
  const gone = before.length > after.length ? [`${before.length - after.length} gone`] : [];
  return [...after.filter((row) => !known.has(row)), ...gone];
}

describe.runIf(process.platform !== 'win32')('on a vault', { timeout: 120_000 }, () => {
  it.each(states)('$name, commands fail in one line and change nothing', async (state) => {
    const faults: string[] = [];
    const tryOne = async (command: Command): Promise<void> => {
      const subject = subjectIn(temporaryFolder());
      state.apply(subject);
      const before = digest(subject.root);
      const ended = await end(command, subject, env);
      const code = state.codes[command.name] ?? usual[command.name];
      faults.push(...faultsOf(command, ended, code, changesIn(subject.root, before)));
    };
    // Those with a process of their own, at the same time as the others.
    await Promise.all([
      ...commands.filter(({ apart }) => apart).map(tryOne),
      (async () => {
        for (const command of commands.filter(({ apart }) => !apart)) await tryOne(command);
      })(),
    ]);
    expect(faults).toEqual([]);
  });

  it('that can not be written, commands read it, and the others fail in one line', async (context) => {
    const disk = smallDisk(context, '8m');
    const subject = subjectIn(disk.path);
    disk.remount('ro');
    const faults: string[] = [];
    const codes: Record<string, number> = {
      ...{ chat: 15, resume: 15, 'key add-passphrase': 15, 'key remove': 15, 'key rotate': 15, purge: 15 },
    };
    const before = digest(disk.path);
    for (const command of commands) {
      const ended = await end(command, subject, env);
      faults.push(
        ...faultsOf(command, ended, codes[command.name] ?? usual[command.name], changesIn(disk.path, before)),
      );
    }
    expect(faults).toEqual([]);
  });

  it('of another user, commands fail in one line', async (context) => {
    if (process.getuid?.() !== 0 || spawnSync('sh', ['-c', 'command -v setpriv']).status !== 0)
      context.skip('being two users needs root and setpriv; run with: sudo env "PATH=$PATH" npm test');
    const root = temporaryFolder();
    chmodSync(root, 0o755);
    const subject = subjectIn(root);
    const own = join(root, 'own');
    mkdirSync(own);
    cpSync(join(folder, 'coffer-key'), join(own, 'coffer-key'));
    for (const path of [own, join(own, 'coffer-key')]) chownSync(path, NOBODY, NOBODY);
    const as = { ...env, HOME: own, CREDENTIALS_DIRECTORY: own, COFFER_CONFIG_DIR: own };
    const launcher = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const before = digest(subject.vault);
    const faults: string[] = [];
    for (const command of commands) {
      const ended = await endApart(command, subject, as, launcher);
      const code = command.name === 'key recovery-code' ? 2 : 1;
      faults.push(...faultsOf(command, ended, code, changesIn(subject.vault, before)));
    }
    expect(faults).toEqual([]);
  });
});
