import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VaultKey } from '../../src/envelope/key.ts';
import { sessionsOf } from '../../src/session/open-vault.ts';
import { authenticated } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import { networkWarning } from '../../src/vault/network-warning.ts';
import { FakeTerminal, makeFolder, runHere } from '../terminal/fake-terminal.ts';

let folder: string;
let vault: string;
let env: Record<string, string>;
let fileId: string;

beforeEach(async () => {
  ({ folder, env } = await makeFolder());
  vault = join(folder, 'vault');
  await using sessions = sessionsOf({ env });
  await using session = sessions.begin({ directory: folder, model: 'demo/echo' });
  await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
  fileId = session.fileId ?? '';
});
afterEach(() => rmSync(folder, { recursive: true }));

async function doctor(): Promise<{ code: number; out: string; err: string }> {
  const fake = new FakeTerminal();
  const { code } = await runHere(fake, ['doctor'], env);
  return { code, out: fake.out, err: fake.err };
}

function write(path: string, text: string): void {
  writeFileSync(join(vault, path), text, { mode: 0o600 });
}

/** Changes vault.json as coffer would, with a MAC of its own. */
function change(edit: (file: Record<string, unknown>) => void): void {
  const file = JSON.parse(readFileSync(join(vault, 'vault.json'), 'utf8')) as Record<string, unknown>;
  edit(file);
  const key = VaultKey.from(Buffer.from(readFileSync(join(folder, 'coffer-key'), 'utf8').trim(), 'hex'));
  write('vault.json', JSON.stringify(authenticated(file as unknown as VaultFile, key)));
}

describe('doctor', () => {
  it('reports no problems for an intact vault', async () => {
    const { code, out, err } = await doctor();
    expect(out).toMatch(/\nno problems found\n$/);
    expect(out).not.toMatch(/quarantine:|not made by coffer|rotation|network/);
    expect([code, err]).toEqual([0, '']);
  });

  it('tells of events that this version can not interpret', async () => {
    const { fileId, file } = JSON.parse(readFileSync('test/vectors/earlier/usage-fraction.json', 'utf8'));
    writeFileSync(join(vault, 'sessions', fileId), Buffer.from(file, 'base64'), { mode: 0o600 });
    const { code, out } = await doctor();
    expect(out).toContain(
      `  ${fileId}: this version of coffer can't interpret event 5; kept as recorded, update coffer to see more\n`,
    );
    expect(code).toBe(0);
  });

  it('tells of a rotation that was not finished', async () => {
    change((file) => {
      file['retiring'] = 'a'.repeat(32);
    });
    expect((await doctor()).out).toContain('  a key rotation was interrupted; coffer key rotate finishes it\n');
  });

  it('names a vault.json that something else changed', async () => {
    const file = JSON.parse(readFileSync(join(vault, 'vault.json'), 'utf8')) as Record<string, unknown>;
    write('vault.json', JSON.stringify({ ...file, provider: 'somebody else' }));
    const { code, out } = await doctor();
    expect(out).toContain('vault.json is not as coffer wrote it: its MAC is wrong; sessions stay readable');
    expect(out).toMatch(/or coffer key repair writes a new one\n/);
    expect(out).toContain('files: 1 sealed');
    expect(code).toBe(13);
  });

  it('lists what is in quarantine with its note, and says what to do', async () => {
    mkdirSync(join(vault, 'quarantine'), { mode: 0o700 });
    write('quarantine/b.torn.01020304', 'kept');
    write('quarantine/b.torn.01020304.txt', 'frame 3 was being written\nand \u001b[31mthis is it\n');
    write('quarantine/a.torn.01020304', 'kept');
    write('quarantine/c.torn.01020304', 'kept');
    symlinkSync(join(folder, 'coffer-key'), join(vault, 'quarantine/c.torn.01020304.txt'));
    const { code, out } = await doctor();
    expect(out).toContain(
      [
        `  ${join(vault, 'quarantine/c.torn.01020304.txt')} is a symbolic link; move it away`,
        'files: 1 sealed, 3 in quarantine',
        'quarantine:',
        '  a.torn.01020304: no note',
        '  b.torn.01020304: frame 3 was being written; and \\x1b[31mthis is it',
        '  c.torn.01020304: no note',
        '  coffer salvage <name> restores its session; once not needed, remove the file and its note by hand',
        'problems found\n',
      ].join('\n'),
    );
    expect(out).not.toContain('a'.repeat(64));
    expect(code).toBe(1);
  });

  it('names what is not coffer’s, and leaves it alone', async () => {
    write('letter.odt', '');
    write('.vault.json.0123456789abcdef.tmp', '');
    write('sessions/notes.txt', '');
    write(`sessions/.${fileId}.0123456789abcdef.tmp`, '');
    write('locks/key', '');
    const { code, out } = await doctor();
    expect(out).toContain('  not made by coffer, and left alone: letter.odt, sessions/notes.txt, locks/key\n');
    expect(code).toBe(0);
    for (let index = 0; index < 10; index++) write(`x${index}`, '');
    expect((await doctor()).out).toContain('letter.odt, x0, x1, x2, x3, x4, x5, x6, x7, x8, …\n');
  });

  it('says of a file that can not be read how to salvage it', async () => {
    const path = join(vault, 'sessions', fileId);
    const bytes = readFileSync(path);
    bytes[300]! ^= 1;
    writeFileSync(path, bytes);
    const { code, out } = await doctor();
    expect(out).toContain(`; coffer salvage ${fileId} recovers what verifies, or restore it from a backup\n`);
    expect(code).toBe(13);
  });
});

describe('the warning of a network file system', () => {
  it.runIf(process.platform === 'linux')('names it, and says what can go wrong', () => {
    const systems = { type: () => 0x6969, device: () => 0n, mounts: () => '' };
    expect(networkWarning('/tmp', systems)).toBe(
      '/tmp is on a network file system (nfs): leases may not lock out other machines, and flushed data may not be on disk; never use it from two machines at once',
    );
    expect(networkWarning('/tmp', { ...systems, type: () => 0xef53 })).toBeUndefined();
  });
});
