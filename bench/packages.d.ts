/*
 * Declares what the bench uses of its packages. `npm run check` reads these declarations instead of
 * the packages' own, so it works if the packages are not installed.
 */
declare module 'age-encryption' {
  export class Encrypter {
    addRecipient(recipient: string): void;
    encrypt(file: Uint8Array): Promise<Uint8Array>;
  }
  export class Decrypter {
    addIdentity(identity: string): void;
    decrypt(file: Uint8Array, format: 'text'): Promise<string>;
  }
  export function generateIdentity(): Promise<string>;
  export function identityToRecipient(identity: string): Promise<string>;
}

declare module 'conf' {
  interface Options {
    cwd: string;
    encryptionKey: Uint8Array;
    encryptionAlgorithm: 'aes-256-gcm';
  }
  export default class Conf<T extends object> {
    constructor(options: Options);
    get<K extends keyof T>(key: K): T[K];
    set<K extends keyof T>(key: K, value: T[K]): void;
  }
}

declare module 'better-sqlite3-multiple-ciphers' {
  export default class Database {
    constructor(path: string);
    pragma(source: string): unknown;
    exec(source: string): unknown;
    prepare(source: string): { run(...values: unknown[]): unknown; pluck(): { get(): unknown } };
    transaction<T>(work: (input: T) => void): { immediate(input: T): void };
    close(): void;
  }
}
