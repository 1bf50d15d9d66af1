import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VaultKey } from '../../src/envelope/key.ts';
import type { Answer, Keyring, LookUp } from '../../src/keyring/keyring.ts';
import type { NewEvent } from '../../src/session/event/event.ts';
import { type OpenOptions, openVault, sessionsOf } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import type { Rewrapping } from '../../src/vault/keys/slots/rewrap.ts';

/** vault.json as JSON, whatever its content. */
export type Json = Record<string, unknown>;

/**
 * A keychain that can be restored to an earlier state, and whose deletions can be made to fail as
 * if the process had ended there.
 */
export class SceneKeyring implements Keyring {
  readonly backend = 'memory';
  secrets: Map<string, Buffer> = new Map();
  mayDelete = true;

  async probe(): Promise<Answer> {
    return { outcome: 'READY', detail: 'kept in this process' };
  }

  async provider(): Promise<string> {
    return 'memory';
  }

  async get(keyId: string): Promise<LookUp> {
    const secret = this.secrets.get(keyId);
    return secret ? { outcome: 'READY', secret: Buffer.from(secret) } : { outcome: 'NOT_FOUND', detail: 'no such key' };
  }

  async set(keyId: string, secret: Uint8Array): Promise<Answer> {
    this.secrets.set(keyId, Buffer.from(secret));
    return { outcome: 'READY', detail: 'set' };
  }

  async delete(keyId: string): Promise<Answer> {
    if (!this.mayDelete) throw new Error('the end');
    const isThere = this.secrets.delete(keyId);
    return isThere ? { outcome: 'READY', detail: 'deleted' } : { outcome: 'NOT_FOUND', detail: 'no such key' };
  }
}

/**
 * A vault whose key was rotated and which lost a slot on purpose, and another vault of the same
 * user: the sources of everything that is put into its vault.json. `rotating`: another rotation was
 * interrupted, and one session still has the previous key.
 */
export class Scene {
  readonly folder: string;
  readonly keyring: SceneKeyring = new SceneKeyring();
  readonly attacker: VaultKey = VaultKey.generate();
  /** vault.json as it is; and as it was before the slot was removed, and before the rotation. */
  record: Json = {};
  beforeRemoval: Json = {};
  beforeRotation: Json = {};
  /** That of the other vault. */
  other: Json = {};
  /** The texts of every session. */
  texts: readonly string[] = [];
  #secrets: ReadonlyMap<string, Buffer> = new Map();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(folder: string, isRotating: boolean): Promise<Scene> {
    const scene = new Scene(folder);
    mkdirSync(folder, { recursive: true });
    await scene.#begin();
    if (isRotating) await scene.#interrupt();
    const secret = scene.attacker.bytes();
    await scene.keyring.set(scene.attacker.id, secret);
    scene.record = readJson(scene.directory);
    scene.other = readJson(join(folder, 'other'));
    scene.texts = await scene.read(scene.sessions());
    scene.#secrets = new Map([...scene.keyring.secrets].map(([keyId, bytes]) => [keyId, Buffer.from(bytes)]));
    for (const name of ['data', 'config']) cpSync(join(folder, name), join(folder, `${name}-kept`), WHOLE);
    return scene;
  }

  get directory(): string {
    return join(this.folder, 'data');
  }

  get options(): OpenOptions {
    return { directory: this.directory, config: join(this.folder, 'config'), keyring: this.keyring, env: {} };
  }

  /**
   * Restores everything except vault.json, which is written as given; undefined removes it. Unless
   * `isKnown`, the directory is not among the known vaults.
   */
  put(json: Json | undefined, isKnown: boolean = true): void {
    for (const name of ['data', 'config']) {
      rmSync(join(this.folder, name), { recursive: true });
      cpSync(join(this.folder, `${name}-kept`), join(this.folder, name), WHOLE);
    }
    if (!isKnown) rmSync(join(this.folder, 'config', 'vaults.json'));
    this.keyring.secrets = new Map([...this.#secrets].map(([keyId, bytes]) => [keyId, Buffer.from(bytes)]));
    const path = join(this.directory, 'vault.json');
    if (json === undefined) rmSync(path);
    else writeFileSync(path, JSON.stringify(json));
  }

  /** Opens the vault without resuming a rotation. */
  sessions(): Sessions {
    return sessionsOf(this.options);
  }

  /** Returns the texts of every session that can be read. */
  async read(sessions: Sessions): Promise<string[]> {
    const texts: string[] = [];
    for (const row of await sessions.list()) {
      if (row.unreadable) continue;
      const { events } = await sessions.read(row);
      texts.push(...events.flatMap((event) => (event.type === 'message' ? [JSON.stringify(event.message)] : [])));
    }
    return texts.sort();
  }

  /** Returns every sealed session by its name. */
  files(): Map<string, Buffer> {
    const folder = join(this.directory, 'sessions');
    const names = readdirSync(folder).filter((name) => /^[0-9a-f]{32}$/.test(name));
    return new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
  }

  /** Returns the current content of vault.json, byte for byte. */
  recordBytes(): string | undefined {
    const path = join(this.directory, 'vault.json');
    try {
      return readFileSync(path, 'latin1');
    } catch {
      return undefined; // it was removed
    }
  }

  async #begin(): Promise<void> {
    const other = await openVault({ ...this.options, directory: join(this.folder, 'other') });
    await say(other, 'of another vault');
    await other.keys.slots.addRecoveryCode(async (code) => code);
    await other.close();
    const vault = await openVault(this.options);
    await say(vault, 'first');
    await vault.keys.slots.addRecoveryCode(async (code) => code);
    this.beforeRotation = readJson(this.directory);
    await vault.keys.rotate(ANSWERING);
    const removed = await vault.keys.slots.addRecoveryCode(async (code) => code);
    this.beforeRemoval = readJson(this.directory);
    await vault.keys.slots.remove(removed.id);
    await say(vault, 'second');
    await vault.close();
  }

  async #interrupt(): Promise<void> {
    const before = this.files();
    this.beforeRotation = readJson(this.directory);
    this.keyring.mayDelete = false;
    const vault = this.sessions();
    await vault.keys.rotate(ANSWERING).catch((error: Error) => {
      if (error.message !== 'the end') throw error;
    });
    this.keyring.mayDelete = true;
    const [name = '', bytes = ''] = [...before][0] ?? [];
    writeFileSync(join(this.directory, 'sessions', name), bytes);
    rmSync(join(this.directory, 'seen')); // its marks belong to the state before the restore
  }
}

/** Returns a step of a session. */
export function said(content: string): NewEvent {
  return { type: 'message', message: { role: 'user', content } };
}

/** A user who types every code back. */
export const ANSWERING: Rewrapping = {
  passphrase: async () => undefined,
  confirmCode: async (code) => code,
  onDropped: () => undefined,
};

const WHOLE = { recursive: true, verbatimSymlinks: true, preserveTimestamps: true };

async function say(vault: Sessions, text: string): Promise<void> {
  const session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
  await session.append(said(text));
  await session.close();
}

function readJson(directory: string): Json {
  return JSON.parse(readFileSync(join(directory, 'vault.json'), 'utf8')) as Json;
}
