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
import { type OnProgress, TextIndex } from '../../../src/vault/search/text-index.ts';
import { temporaryFolder } from '../../support/vault.ts';

/** What an index says of some files: those that can't have a text, and those it knows nothing of. */
export interface Said {
  readonly without: string[];
  readonly unknown: string[];
}

/** Files that are to be looked at again. */
export function sought(fileIds: readonly string[]): { fileId: string }[] {
  return fileIds.map((fileId) => ({ fileId }));
}

/** The files of a vault as the index of what is said in them sees them: names, states, and what somebody else reads out of them. */
export class TextFolder {
  readonly place: VaultDirectory;
  #key: VaultKey = VaultKey.generate();
  /** What is said in which file; what is not here can't be read. */
  readonly said: Map<string, string> = new Map<string, string>();
  /** The files that were gathered, one after another. */
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

  /** Gives the vault a key, as its `vault.json` says. */
  set key(key: VaultKey) {
    this.#key = key;
    this.tellKey(key.id);
  }

  /** Writes into `vault.json` which key the vault has, and which one a rotation is replacing. */
  tellKey(key: string, retiring?: string): void {
    const file = { format: 1, key, retiring, backend: 'memory', provider: 'memory', slots: [] };
    writeFileSync(vaultFilePath(this.place.root), JSON.stringify(file));
  }

  /** What is there beside the files. */
  get names(): string[] {
    return readdirSync(this.place.root).filter((name) => name !== 'vault.json' && name !== 'sessions');
  }

  /** Puts a file there, of so many bytes, in which something is said; gives its name. */
  put(text: string, length = 100_000, fileId: string = randomBytes(16).toString('hex')): string {
    writeFileSync(this.place.path(fileId), '');
    truncateSync(this.place.path(fileId), length);
    this.said.set(fileId, text);
    return fileId;
  }

  /** An index of another process. */
  index(): TextIndex {
    return new TextIndex(this.place, async () => ({ key: this.key }) as Unlocked);
  }

  /** Waits until what was written last can be told from what is written next, and lets an index take up what it does not know. */
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

  /** Asks for a text; whatever stands on the disk, no file that has it may be said not to. */
  async ask(text: string, index: TextIndex = this.index()): Promise<Said> {
    const { without, unknown } = await index.lookUp(sought([...this.said.keys()]), trigramsOf(text));
    for (const fileId of without)
      expect(this.said.get(fileId), `${fileId} is said not to have ${text}`).not.toContain(text);
    return { without: [...without], unknown: [...unknown] };
  }

  get bytes(): Buffer {
    return readFileSync(this.place.texts);
  }

  /** The lengths of the frames. */
  get frames(): number[] {
    const { bytes } = this;
    const lengths: number[] = [];
    for (let offset = 52; offset < bytes.length; offset += 4 + bytes.readUInt32BE(offset)) {
      lengths.push(4 + bytes.readUInt32BE(offset));
    }
    return lengths;
  }

  /** Removes a file as somebody else would. */
  remove(fileId: string): void {
    rmSync(this.place.path(fileId));
    this.said.delete(fileId);
  }
}
