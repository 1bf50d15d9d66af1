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
  type ServiceState,
  UNANSWERED,
  writeRefusal,
} from '../../native-fallback/secret-state.ts';

/** The keychains that work without the addon. */
export type NativeBackend = 'secret-service' | 'security' | 'dpapi';

/** The keychain of each platform. */
export const NATIVE: Readonly<Partial<Record<NodeJS.Platform, NativeBackend>>> = {
  linux: 'secret-service',
  darwin: 'security',
  win32: 'dpapi',
};

interface Item {
  readonly service: string;
  readonly account: string;
}

/** A module of native-fallback with its terms bound. */
interface Native {
  probe(): Promise<Answer>;
  provider(): Promise<string>;
  read(item: Item): Promise<Found>;
  write(item: Item, text: string): Promise<Answer>;
  remove(item: Item): Promise<Answer>;
}

/**
 * The system's keychain, without the addon: the same item with the same attributes as keytar's (on
 * Windows a separate file sealed for the user by DPAPI, because PowerShell can't access keytar's
 * items). Returns `ABSENT` on another system.
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

/** Returns the keychain item of a key. */
export function itemOf(keyId: string): Item {
  return { service: SERVICE, account: keyId };
}

/** Modules for macOS and Windows are loaded only there. */
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

/**
 * Returns the directory of the files sealed by DPAPI: in the configuration directory, apart from
 * the vault, so that no backup contains both.
 */
function blobDirectory(env: NodeJS.ProcessEnv): string {
  return join(env['COFFER_CONFIG_DIR'] ?? join(env['APPDATA'] ?? '', 'coffer', 'Config'), 'keys');
}
