import { type Answer, encodeSecret, type Keyring, type LookUp, requireKeyId } from './outcomes.ts';

/** A keyring that keeps keys in this process only. They are lost when it ends. */
export class MemoryKeyring implements Keyring {
  readonly backend = 'memory';
  readonly #secrets = new Map<string, Buffer>();

  async probe(): Promise<Answer> {
    return { outcome: 'READY', detail: 'kept in this process' };
  }

  async provider(): Promise<string> {
    return 'memory';
  }

  async get(keyId: string): Promise<LookUp> {
    requireKeyId(keyId);
    const secret = this.#secrets.get(keyId);
    return secret ? { outcome: 'READY', secret: Buffer.from(secret) } : NOT_HERE;
  }

  async set(keyId: string, secret: Uint8Array): Promise<Answer> {
    requireKeyId(keyId);
    this.#secrets.set(keyId, Buffer.from(encodeSecret(secret), 'base64'));
    return { outcome: 'READY', detail: 'kept in this process' };
  }

  async delete(keyId: string): Promise<Answer> {
    requireKeyId(keyId);
    this.#secrets.get(keyId)?.fill(0);
    return this.#secrets.delete(keyId) ? { outcome: 'READY', detail: 'deleted' } : NOT_HERE;
  }
}

const NOT_HERE = { outcome: 'NOT_FOUND', detail: 'this process has no such key' } as const;
