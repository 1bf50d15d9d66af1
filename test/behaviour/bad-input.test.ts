import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallDisk } from '../files/facilities.ts';
import { temporaryFolder } from '../support/vault.ts';
import { type Command, commands, type Ended, end, endApart, isReader } from './bad-input-commands.ts';
import { all, codeOf, digest, type State, states } from './bad-input-states.ts';
import { makeTemplate, type Subject, type Template } from './bad-input-vault.ts';

const NOBODY = 65_534;

let template: Template;
let env: Record<string, string>;

beforeAll(async () => {
  template = await makeTemplate();
  ({ env } = template);
});
afterAll(() => rmSync(template.folder, { recursive: true }));

/**
 * Returns what is wrong with how a command ended: another code, more than one line on stderr,
 * silence, a bug, a change, leftovers.
 */
function faultsOf(
  command: Command,
  ended: Ended,
  expected: Pick<State, 'codes' | 'tells'>,
  changes: readonly string[],
): string[] {
  const { name, kind } = command;
  const code = codeOf(command, expected.codes);
  const faults = ended.bug === undefined ? [] : [`a bug: ${ended.bug}`];
  if (ended.code !== code) faults.push(`ends with ${ended.code} instead of ${code}: ${ended.err}${ended.out}`);
  const complaints = ended.err.split('\n').filter((line) => line.startsWith('coffer: '));
  const isListed = kind === 'list' && ended.code === 13 && /vault\.json (is damaged|has a format)/.test(ended.err);
  const isTold = isListed || (name === 'doctor' && ended.out.endsWith('problems found\n'));
  if (complaints.length !== (ended.code === 0 || isTold ? 0 : 1)) faults.push(`says ${ended.err}`);
  const tells = expected.tells?.[name] ?? expected.tells?.[kind];
  if (ended.code === 0 && tells?.test(ended.err) === false) faults.push(`does not say ${tells} but ${ended.err}`);
  if (ended.code !== 0 && ended.out !== '' && !mayPrint(command) && !isListed)
    faults.push(`fails and prints ${ended.out}`);
  if (/^\s+at /m.test(ended.err + ended.out)) faults.push(`shows a stack: ${ended.err}${ended.out}`);
  if (name === 'complete' && ended.err !== '') faults.push(`says ${ended.err}`);
  if ((ended.code !== 0 || isReader(command)) && changes.length > 0) faults.push(`changes ${changes.join(', ')}`);
  const left = changes.filter((row) => /^\S*(\.tmp|\/locks\/[0-9a-f]{32}) /.test(row));
  if (left.length > 0) faults.push(`leaves ${left.join(', ')}`);
  return faults.map((fault) => `coffer ${name} ${fault}`);
}

/** A reply is shown before it is saved, and doctor shows what is wrong. */
function mayPrint({ name, kind }: Command): boolean {
  return kind === 'begin' || kind === 'turn' || name === 'doctor';
}

function changesIn(after: readonly string[], before: readonly string[]): string[] {
  const known = new Set(before);
  const gone = before.length > after.length ? [`${before.length - after.length} gone`] : [];
  return [...after.filter((row) => !known.has(row)), ...gone];
}

/**
 * Lists everything outside the vaults under test, except Node's compile cache and the known vaults.
 */
function outside(): string[] {
  return digest(template.folder).filter((row) => !/^(\.( |cache)|vaults\.)/.test(row));
}

/** Runs the commands one after the other, each on an unchanged vault. */
async function tryAll(
  tried: readonly Command[],
  state: State,
  endOf: (command: Command, subject: Subject) => Promise<Ended>,
): Promise<string[]> {
  const faults: string[] = [];
  let ready: { subject: Subject; before: readonly string[] } | undefined;
  for (const command of tried) {
    if (ready === undefined) {
      const subject = template.in(temporaryFolder());
      state.apply(subject);
      ready = { subject, before: digest(subject.root) };
    }
    const ended = await endOf(command, ready.subject);
    const changes = changesIn(digest(ready.subject.root), ready.before);
    faults.push(...faultsOf(command, ended, state, changes));
    if (changes.length > 0) ready = undefined;
  }
  return faults;
}

describe.runIf(process.platform !== 'win32')('on a vault', () => {
  it.each(states)('$name, commands fail in one line and change nothing', async (state) => {
    const before = outside();
    const endOf = (command: Command, subject: Subject): Promise<Ended> => end(command, subject, env);
    // Commands that need their own process run in parallel with the others.
    const faults = await Promise.all([
      ...commands.filter(({ apart }) => apart).map((command) => tryAll([command], state, endOf)),
      tryAll(
        commands.filter(({ apart }) => !apart),
        state,
        endOf,
      ),
    ]);
    expect(faults.flat()).toEqual([]);
    expect(outside()).toEqual(before);
  });

  it.each([
    { name: 'whose key is nowhere', key: undefined },
    { name: 'whose key is another', key: 'b'.repeat(64) },
    { name: 'whose key is none', key: 'a' },
  ])('$name, commands fail in one line and change nothing', async ({ name, key }) => {
    const place = temporaryFolder();
    if (key !== undefined) writeFileSync(join(place, 'coffer-key'), key, { mode: 0o600 });
    const state = { name, apply: () => undefined, codes: noKey };
    const endOf = (command: Command, subject: Subject): Promise<Ended> =>
      end(command, subject, { ...env, CREDENTIALS_DIRECTORY: place });
    expect(await tryAll(commands, state, endOf)).toEqual([]);
  });

  it("that can't be written, reading commands work and the others fail in one line", async (context) => {
    const disk = smallDisk(context, '8m');
    const subject = template.in(disk.path);
    disk.remount('ro');
    const faults: string[] = [];
    const before = digest(disk.path);
    for (const command of commands) {
      const ended = await end(command, subject, env);
      faults.push(...faultsOf(command, ended, { codes: readOnly }, changesIn(digest(disk.path), before)));
    }
    expect(faults).toEqual([]);
  });

  it('of another user, commands fail in one line', async (context) => {
    if (process.getuid?.() !== 0 || spawnSync('sh', ['-c', 'command -v setpriv']).status !== 0)
      context.skip('being two users needs root and setpriv; run with: sudo env "PATH=$PATH" npm test');
    const root = temporaryFolder();
    chmodSync(root, 0o755);
    const own = join(root, 'own');
    mkdirSync(own);
    const subject = { ...template.in(root), exported: join(own, 'exported.jsonl') };
    cpSync(join(template.folder, 'coffer-key'), join(own, 'coffer-key'));
    cpSync(join(template.folder, 'exported.jsonl'), subject.exported);
    for (const path of [own, join(own, 'coffer-key'), subject.exported]) chownSync(path, NOBODY, NOBODY);
    const as = { ...env, HOME: own, CREDENTIALS_DIRECTORY: own, COFFER_CONFIG_DIR: own };
    const launcher = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const before = digest(subject.vault);
    const faults: string[] = [];
    for (const command of commands) {
      const ended = await endApart(command, subject, as, launcher);
      faults.push(...faultsOf(command, ended, { codes: all(1) }, changesIn(digest(subject.vault), before)));
    }
    expect(faults).toEqual([]);
  });
});

/** A chat continues in memory, and says at its end that nothing was saved. */
const noKey = { ...all(12), begin: 15, 'key list': 0 };

/** Nothing can be added, changed or removed; commands that change nothing still work. */
const readOnly = {
  ...{ change: 15, copy: 15, begin: 15, turn: 15, prune: 15, delete: 15, import: 15, purge: 15 },
  ...{ 'key add-passphrase': 15, 'key remove': 15, 'key rotate': 15 },
};
