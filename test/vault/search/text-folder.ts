import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { VaultKey } from '../../../src/envelope/key.ts';
import { CofferError } from '../../../src/errors.ts';
import { trigramsOf } from '../../../src/session/search/trigrams.ts';
import { VaultDirectory } from '../../../src/vault/directory.ts';
import type { Unlocked } from '../../../src/vault/keys/options.ts';
import { vaultFilePath } from '../../../src/vault/keys/record/vault-file.ts';
import type { OnProgress } from '../../../src/vault/progress.ts';
import { TextIndex } from '../../../src/vault/search/text-index.ts';
import { temporaryFolder } from '../../support/vault.ts';

/**
 * An index's answer about some files: those that can't have a text, and those it knows nothing
 * about.
 */
export interface Said {
  readonly without: string[];
  readonly unknown: string[];
}

/** Turns file ids into files to look up, without a state. */
export function sought(fileIds: readonly string[]): { fileId: string }[] {
  return fileIds.map((fileId) => ({ fileId }));
}

/**
 * The files of a vault as its text search index sees them: names, states, and the text that a
 * caller reads from them.
 */
export class TextFolder {
  readonly place: VaultDirectory;
  #key: VaultKey = VaultKey.generate();
  /** The text in each file; a file without one can't be read. */
  readonly said: Map<string, string> = new Map<string, string>();
  /** The files that were gathered, in order. */
  readonly gathered: string[] = [];
  /** Called while a file is being gathered. */
  onGather: (fileId: string) => void = () => undefined;

  constructor(root: string = join(temporaryFolder(), 'data')) {
    this.place = new VaultDirectory(root);
    mkdirSync(this.place.sessions, { recursive: true });
    this.key = this.#key;
  }

  get key(): VaultKey {
    return this.#key;
  }

  /** Gives the vault a new key, named in its `vault.json`. */
  set key(key: VaultKey) {
    this.#key = key;
    this.tellKey(key.id);
  }

  /** Writes into `vault.json` which key the vault has, and which one a rotation is replacing. */
  tellKey(key: string, retiring?: string): void {
    const file = { format: 1, key, retiring, backend: 'memory', provider: 'memory', slots: [] };
    writeFileSync(vaultFilePath(this.place.root), JSON.stringify(file));
  }

  /** Returns the names in the vault directory, apart from `vault.json` and `sessions`. */
  get names(): string[] {
    return readdirSync(this.place.root).filter((name) => name !== 'vault.json' && name !== 'sessions');
  }

  /** Adds a file of this many bytes with a text; returns its id. */
  put(text: string, length = 100_000, fileId: string = randomBytes(16).toString('hex')): string {
    writeFileSync(this.place.path(fileId), '');
    truncateSync(this.place.path(fileId), length);
    this.said.set(fileId, text);
    return fileId;
  }

  /** Returns the index as another process would open it. */
  index(): TextIndex {
    return new TextIndex(this.place, async () => ({ key: this.key }) as Unlocked);
  }

  /**
   * Waits until the last write can be told from the next one, and lets an index add the files
   * unknown to it.
   */
  async keep(
    fileIds: readonly string[] = [...this.said.keys()],
    index: TextIndex = this.index(),
    onProgress?: OnProgress,
  ): Promise<void> {
    const latest = Math.max(...[...this.said.keys()].map((fileId) => statSync(this.place.path(fileId)).ctimeMs));
    await pause(Math.max(0, latest + 102 - Date.now()));
    const { unknown } = await index.lookUp(sought(fileIds), [0]);
    index.keep(unknown, (fileId) => this.gather(fileId));
    await index.settle(onProgress);
  }

  async gather(fileId: string): Promise<Uint32Array> {
    this.gathered.push(fileId);
    this.onGather(fileId);
    const text = this.said.get(fileId);
    if (text === undefined) throw new CofferError('UNAUTHENTIC', 'it can not be read');
    return Uint32Array.from(trigramsOf(text));
  }

  /** Looks up a text; checks that no file that has it is ruled out, whatever is on disk. */
  async ask(text: string, index: TextIndex = this.index()): Promise<Said> {
    const { without, unknown } = await index.lookUp(sought([...this.said.keys()]), trigramsOf(text));
    for (const fileId of without)
      expect(this.said.get(fileId), `${fileId} is said not to have ${text}`).not.toContain(text);
    return { without: [...without], unknown: [...unknown] };
  }

  get bytes(): Buffer {
    return readFileSync(this.place.texts);
  }

  /** Returns the lengths of the frames. */
  get frames(): number[] {
    const { bytes } = this;
    const lengths: number[] = [];
    for (let offset = 52; offset < bytes.length; offset += 4 + bytes.readUInt32BE(offset)) {
      lengths.push(4 + bytes.readUInt32BE(offset));
    }
    return lengths;
  }

  /** Removes a file as something other than coffer would. */
  remove(fileId: string): void {
    rmSync(this.place.path(fileId));
    this.said.delete(fileId);
  }
}
