import { join } from 'node:path';
import * as secretService from '../../native-fallback/secret-service.ts';
import {
  type Answer,
  decodeSecret,
  encodeSecret,
  type Found,
  type Keyring,
  type LookUp,
  requireKeyId,
  SERVICE,
} from './outcomes.ts';
import type { Patience } from './patience.ts';

export { inspect, type Looked, look, providerName } from '../../native-fallback/secret-service.ts';
export {
  DISMISSED,
  LOCKED,
  NOT_FOUND,
  probeAnswer,
  readRefusal,
  type State,
  UNANSWERED,
  writeRefusal,
} from '../../native-fallback/secret-state.ts';

/** The keychains that are reached without the addon. */
export type NativeBackend = 'secret-service' | 'security' | 'dpapi';

/** The keychain that each system has. */
export const NATIVE: Readonly<Partial<Record<NodeJS.Platform, NativeBackend>>> = {
  linux: 'secret-service',
  darwin: 'security',
  win32: 'dpapi',
};

interface Item {
  readonly service: string;
  readonly account: string;
}

/** What a file of native-fallback does, its terms settled. */
interface Native {
  probe(): Promise<Answer>;
  provider(): Promise<string>;
  read(item: Item): Promise<Found>;
  write(item: Item, text: string): Promise<Answer>;
  remove(item: Item): Promise<Answer>;
}

/**
 * The keychain of the system, reached without the addon: the same item, under the same attributes, that keytar keeps
 * (on Windows a file of its own, sealed for the user by DPAPI: keytar's items can't be reached from PowerShell).
 * On another system it answers `ABSENT`.
 */
export class NativeKeyring implements Keyring {
  readonly backend: NativeBackend;
  readonly #native: Promise<Native> | undefined;

  constructor(
    backend: NativeBackend,
    env: NodeJS.ProcessEnv,
    patience: Patience,
    platform: NodeJS.Platform = process.platform,
    onPrompt?: () => void,
  ) {
    this.backend = backend;
    this.#native = NATIVE[platform] === backend ? MAKERS[backend](env, patience, onPrompt) : undefined;
  }

  async probe(): Promise<Answer> {
    return (await this.#native)?.probe() ?? this.#elsewhere();
  }

  async provider(): Promise<string> {
    return (await this.#native)?.provider() ?? this.backend;
  }

  async get(keyId: string): Promise<LookUp> {
    requireKeyId(keyId);
    const native = await this.#native;
    return native ? decodeSecret(await native.read(itemOf(keyId))) : this.#elsewhere();
  }

  async set(keyId: string, secret: Uint8Array): Promise<Answer> {
    requireKeyId(keyId);
    const text = encodeSecret(secret);
    return (await this.#native)?.write(itemOf(keyId), text) ?? this.#elsewhere();
  }

  async delete(keyId: string): Promise<Answer> {
    requireKeyId(keyId);
    return (await this.#native)?.remove(itemOf(keyId)) ?? this.#elsewhere();
  }

  #elsewhere(): Answer & { outcome: 'ABSENT' } {
    return { outcome: 'ABSENT', detail: `${this.backend} is not a keychain of this system` };
  }
}

/** The item that a key is kept as. */
export function itemOf(keyId: string): Item {
  return { service: SERVICE, account: keyId };
}

/** What another system needs is loaded there alone. */
const MAKERS: Record<
  NativeBackend,
  (env: NodeJS.ProcessEnv, patience: Patience, onPrompt?: () => void) => Promise<Native>
> = {
  'secret-service': async (env, patience, onPrompt) => {
    const terms = { env, ...patience, onPrompt };
    return {
      probe: () => secretService.probe(terms, itemOf('')),
      provider: () => secretService.providerName(terms),
      read: (item) => secretService.read(terms, item),
      write: (item, text) => secretService.write(terms, item, text),
      remove: (item) => secretService.remove(terms, item),
    };
  },
  security: async (_, patience) => {
    const security = await import('../../native-fallback/macos-security.ts');
    const terms = { milliseconds: patience.silence };
    return {
      probe: () => security.probe(terms),
      provider: async () => 'macOS Keychain',
      read: (item) => security.read(terms, item),
      write: (item, text) => security.write(terms, item, text),
      remove: (item) => security.remove(terms, item),
    };
  },
  dpapi: async (env, patience) => {
    const dpapi = await import('../../native-fallback/windows-dpapi.ts');
    const terms = { env, directory: blobDirectory(env), milliseconds: patience.silence };
    return {
      probe: () => dpapi.probe(terms),
      provider: async () => 'Windows DPAPI',
      read: (item) => dpapi.read(terms, item),
      write: (item, text) => dpapi.write(terms, item, text),
      remove: (item) => dpapi.remove(terms, item),
    };
  },
};

/** Where the sealed files of DPAPI lie: in the configuration folder, apart from the vault, so that no backup has both. */
function blobDirectory(env: NodeJS.ProcessEnv): string {
  return join(env['COFFER_CONFIG_DIR'] ?? join(env['APPDATA'] ?? '', 'coffer', 'Config'), 'keys');
}
