import { closeSync, constants, fstatSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { CofferError } from '../errors.ts';
import { type Answer, decodeSecret, type Keyring, type LookUp, SECRET_LENGTH } from './outcomes.ts';
import { UNATTENDED } from './patience.ts';

/** A key in its longest form, 64 hex digits and a line end, is 66 bytes: what is longer is not a key. */
const LIMIT = 128;

/** What was read from a descriptor: it can be read once in a process, and is asked for more often. */
const alreadyRead = new Map<number, Promise<LookUp>>();

/**
 * A key that whoever started us has brought: on the descriptor COFFER_KEY_FD, or as the systemd credential
 * `$CREDENTIALS_DIRECTORY/coffer-key`. 32 raw bytes, 64 hex digits or base64; one newline at the end is not part of it.
 * It can be read, never written.
 */
export class FdKeyring implements Keyring {
  readonly backend = 'fd';
  readonly #env: NodeJS.ProcessEnv;
  readonly #silence: number;

  /**
   * The other end of a pipe may be silent for `silence` milliseconds. Throws `USAGE` if COFFER_KEY_FD is not the number of a descriptor
   * above stderr's.
   */
  constructor(env: NodeJS.ProcessEnv, silence: number = UNATTENDED.silence) {
    this.#env = env;
    this.#silence = silence;
    descriptorIn(env);
  }

  /** Tells whether a key was brought at all. */
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

  /** Gives the key that was brought, whatever its id: the caller knows which it needs. */
  get(): Promise<LookUp> {
    return this.#read();
  }

  async set(): Promise<Answer> {
    return { outcome: 'DECLINED', detail: `a key from ${await this.provider()} is not ours to replace` };
  }

  async delete(): Promise<Answer> {
    return { outcome: 'DECLINED', detail: `a key from ${await this.provider()} is not ours to delete` };
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
    const detail = 'no key was brought: neither COFFER_KEY_FD nor $CREDENTIALS_DIRECTORY/coffer-key is there';
    return { outcome: 'ABSENT', detail };
  }
}

function descriptorIn(env: NodeJS.ProcessEnv): number | undefined {
  const value = env['COFFER_KEY_FD'];
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,9}$/.test(value) && Number(value) > 2) return Number(value);
  throw new CofferError('USAGE', 'COFFER_KEY_FD is not the number of an open descriptor from 3 on');
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

/** A pipe is read by events, never by a blocking call: one whose other end stays silent would keep the process from ending. */
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
    const late = (): void => end({ outcome: 'TIMEOUT', detail: `descriptor ${fd} is held open and gives no key` });
    const timer = silence === Number.POSITIVE_INFINITY ? undefined : setTimeout(late, silence);
    pipe.on('data', (part: Buffer) => {
      parts.push(part);
      if (parts.reduce((sum, { length }) => sum + length, 0) >= LIMIT) end(whole());
    });
    pipe.once('end', () => end(whole()));
    pipe.once('error', (error) => end({ outcome: 'ABSENT', detail: `descriptor ${fd} broke off: ${codeOf(error)}` }));
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

/** Takes the bytes over: they are wiped. */
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
  const detail = bytes.length === 0 ? 'the key that was brought is empty' : 'what was brought is not a vault key';
  return { outcome: 'MISMATCH', detail };
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}
