import { closeSync, constants, fstatSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { type Answer, decodeSecret, type Keyring, type LookUp, SECRET_LENGTH } from './outcomes.ts';
import { UNATTENDED } from './patience.ts';

/**
 * The longest form of a key, 64 hex digits and a line end, is 66 bytes; anything longer isn't a
 * key.
 */
const LIMIT = 128;

/**
 * The keys read from descriptors: a descriptor can be read only once per process, but is needed
 * repeatedly.
 */
const alreadyRead = new Map<number, Promise<LookUp>>();

/**
 * A key provided by the parent process: on the descriptor COFFER_KEY_FD, or as the systemd
 * credential `$CREDENTIALS_DIRECTORY/coffer-key`. 32 raw bytes, 64 hex digits or base64, optionally
 * followed by one newline. Read-only.
 */
export class FdKeyring implements Keyring {
  readonly backend = 'fd';
  readonly #env: NodeJS.ProcessEnv;
  readonly #silence: number;

  /**
   * `silence` is the maximum silence of a pipe's other end, in milliseconds. Throws `USAGE` if
   * COFFER_KEY_FD isn't the number of a descriptor above stderr's.
   */
  constructor(env: NodeJS.ProcessEnv, silence: number = UNATTENDED.silence) {
    this.#env = env;
    this.#silence = silence;
    descriptorIn(env);
  }

  /** Returns whether a key was provided at all. */
  static isGiven(env: NodeJS.ProcessEnv): boolean {
    return descriptorIn(env) !== undefined || credentialIn(env) !== undefined;
  }

  async probe(): Promise<Answer> {
    const found = await this.#read();
    if (found.outcome !== 'READY') return found;
    found.secret.fill(0);
    return { outcome: 'READY', detail: `the key comes from ${await this.provider()}` };
  }

  async provider(): Promise<string> {
    return descriptorIn(this.#env) === undefined ? 'credential file' : 'inherited descriptor';
  }

  /** Returns the provided key, whatever its id: the caller checks it. */
  get(): Promise<LookUp> {
    return this.#read();
  }

  async set(): Promise<Answer> {
    return { outcome: 'DECLINED', detail: `a key from ${await this.provider()} cannot be replaced` };
  }

  async delete(): Promise<Answer> {
    return { outcome: 'DECLINED', detail: `a key from ${await this.provider()} cannot be deleted` };
  }

  async #read(): Promise<LookUp> {
    const fd = descriptorIn(this.#env);
    const path = credentialIn(this.#env);
    if (fd !== undefined) {
      if (!alreadyRead.has(fd)) alreadyRead.set(fd, readDescriptor(fd, this.#silence));
      const found = await (alreadyRead.get(fd) as Promise<LookUp>);
      return found.outcome === 'READY' ? { outcome: 'READY', secret: Buffer.from(found.secret) } : found;
    }
    if (path !== undefined) return readCredential(path);
    const detail = 'no key was provided: neither COFFER_KEY_FD nor $CREDENTIALS_DIRECTORY/coffer-key is set';
    return { outcome: 'ABSENT', detail };
  }
}

function descriptorIn(env: NodeJS.ProcessEnv): number | undefined {
  const value = env['COFFER_KEY_FD'];
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,9}$/.test(value) && Number(value) > 2) return Number(value);
  throw new CofferError('USAGE', 'COFFER_KEY_FD must be the number of a descriptor above 2');
}

function credentialIn(env: NodeJS.ProcessEnv): string | undefined {
  const directory = env['CREDENTIALS_DIRECTORY'];
  return directory ? join(directory, 'coffer-key') : undefined;
}

async function readDescriptor(fd: number, silence: number): Promise<LookUp> {
  try {
    const kind = fstatSync(fd);
    if (!kind.isFIFO() && !kind.isSocket()) {
      const bytes = Buffer.alloc(LIMIT);
      const length = readSync(fd, bytes, 0, LIMIT, null);
      closeSync(fd);
      return parse(bytes.subarray(0, length));
    }
  } catch (error) {
    return { outcome: 'ABSENT', detail: `descriptor ${fd} cannot be read: ${codeOf(error)}` };
  }
  return readPipe(fd, silence);
}

/**
 * Reads a pipe with events, never with a blocking call: a silent writer would keep this process
 * from exiting.
 */
function readPipe(fd: number, silence: number): Promise<LookUp> {
  return new Promise((resolve) => {
    const pipe = new Socket({ fd, readable: true, writable: false });
    const parts: Buffer[] = [];
    const end = (found: LookUp): void => {
      clearTimeout(timer);
      for (const part of parts) part.fill(0);
      pipe.destroy();
      resolve(found);
    };
    const whole = (): LookUp => parse(Buffer.concat(parts));
    const late = (): void => end({ outcome: 'TIMEOUT', detail: `descriptor ${fd} stays open, but no key arrives` });
    const timer = silence === Number.POSITIVE_INFINITY ? undefined : setTimeout(late, silence);
    pipe.on('data', (part: Buffer) => {
      parts.push(part);
      if (parts.reduce((sum, { length }) => sum + length, 0) >= LIMIT) end(whole());
    });
    pipe.once('end', () => end(whole()));
    pipe.once('error', (error) =>
      end({ outcome: 'ABSENT', detail: `reading descriptor ${fd} failed: ${codeOf(error)}` }),
    );
  });
}

async function readCredential(path: string): Promise<LookUp> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = Buffer.alloc(LIMIT);
    const { bytesRead } = await file.read(bytes, 0, LIMIT, null);
    return parse(bytes.subarray(0, bytesRead));
  } catch (error) {
    return { outcome: 'ABSENT', detail: `the credential ${path} cannot be read: ${codeOf(error)}` };
  } finally {
    await file?.close();
  }
}

/** Parses a key and wipes `bytes`. */
function parse(bytes: Buffer): LookUp {
  const found = parseForms(bytes);
  bytes.fill(0);
  return found;
}

function parseForms(bytes: Buffer): LookUp {
  if (bytes.length === SECRET_LENGTH) return { outcome: 'READY', secret: Buffer.from(bytes) };
  if (bytes.length === SECRET_LENGTH + 1 && bytes[SECRET_LENGTH] === 0x0a) {
    return { outcome: 'READY', secret: Buffer.from(bytes.subarray(0, SECRET_LENGTH)) };
  }
  const text = bytes.toString('latin1');
  const [hex] = /^[0-9a-fA-F]{64}(?=\r?\n?$)/.exec(text) ?? [];
  if (hex !== undefined) return { outcome: 'READY', secret: Buffer.from(hex, 'hex') };
  const found = decodeSecret({ outcome: 'READY', text });
  if (found.outcome === 'READY') return found;
  const detail = bytes.length === 0 ? 'the provided key is empty' : 'the provided key is not a vault key';
  return { outcome: 'MISMATCH', detail };
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}
