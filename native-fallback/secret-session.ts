import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { asBusError, type Bus, BusError } from './dbus.ts';
import type { Variant } from './dbus-wire.ts';
import { objectPath, SECRETS, SERVICE_INTERFACE, SERVICE_PATH } from './secret-state.ts';

/** A secret as it travels: its session, the parameters of the algorithm, the value, what it is. Signature `(oayays)`. */
export type Secret = readonly [session: string, parameters: Buffer, value: Buffer, contentType: string];

/** A session with the Secret Service. */
export interface SecretSession {
  readonly path: string;
  /** Readies a text for its way. */
  wrap(text: string): Secret;
  /** Reads what came as a secret; `contentType` says what the keeper takes it for. Throws a {@link BusError} where it can't be understood. */
  unwrap(secret: unknown): { readonly text: string; readonly contentType: string };
}

/** Names group, derivation and cipher all at once, as the Secret Service specification writes them out. */
const ENCRYPTED = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
const GROUP = 'modp2';
const GROUP_LENGTH = 128;
const NOT_SUPPORTED = 'org.freedesktop.DBus.Error.NotSupported';

interface KeyPair {
  /** DER */
  readonly publicKey: Buffer;
  readonly privateKey: KeyObject;
}

/** Node has had it for years, its types have not. */
const generateKeys = generateKeyPairSync as unknown as (type: 'dh', options: object) => KeyPair;

/**
 * Opens a session whose secrets travel encrypted under a key of this session alone, or `plain` where the service knows nothing else, as
 * libsecret does. The agreement is not authenticated and the cipher has no tag: this keeps a key out of the memory of the bus and out of what
 * listens there or records it, and proves nothing about what comes. Whether it is the key that was wanted, its id tells.
 * Measured: 1 ms here, 3 ms in gnome-keyring.
 */
export async function openSession(bus: Bus): Promise<SecretSession> {
  const service = { destination: SECRETS, path: SERVICE_PATH, interface: SERVICE_INTERFACE };
  const ours = generateKeys('dh', { group: GROUP, publicKeyEncoding: { type: 'spki', format: 'der' } });
  const offered = { signature: 'ay', value: publicValue(ours.publicKey) } satisfies Variant;
  try {
    const [theirs, path] = await bus.call(service, 'OpenSession', 'sv', ENCRYPTED, offered);
    return encrypted(objectPath(path), agreedKey(ours, (theirs as Variant | undefined)?.value));
  } catch (error) {
    if (asBusError(error).errorName !== NOT_SUPPORTED) throw error;
  }
  const [, path] = await bus.call(service, 'OpenSession', 'sv', 'plain', { signature: 's', value: '' });
  return plain(objectPath(path));
}

function plain(path: string): SecretSession {
  return {
    path,
    wrap: (text) => [path, Buffer.alloc(0), Buffer.from(text), 'text/plain'],
    unwrap: (secret) => {
      const [, , value, contentType] = partsOf(secret);
      return { text: textOf(value), contentType };
    },
  };
}

function encrypted(path: string, key: Buffer): SecretSession {
  return {
    path,
    wrap: (text) => {
      const iv = randomBytes(16);
      const cipher = createCipheriv('aes-128-cbc', key, iv);
      return [path, iv, Buffer.concat([cipher.update(text), cipher.final()]), 'text/plain'];
    },
    unwrap: (secret) => {
      const [, iv, value, contentType] = partsOf(secret);
      return { text: textOf(decrypted(key, iv, value)), contentType };
    },
  };
}

function decrypted(key: Buffer, iv: Buffer, value: Buffer): Buffer {
  try {
    const decipher = createDecipheriv('aes-128-cbc', key, iv);
    const start = decipher.update(value);
    const whole = Buffer.concat([start, decipher.final()]);
    start.fill(0);
    return whole;
  } catch {
    // Of another length than a cipher text has, or padded otherwise: it was not encrypted for this session.
    throw new BusError('absent', UNKNOWN_FORM);
  }
}

function partsOf(secret: unknown): Secret {
  const [session, parameters, value, contentType] = Array.isArray(secret) ? secret : [];
  if (!Buffer.isBuffer(parameters) || !Buffer.isBuffer(value)) throw new BusError('absent', UNKNOWN_FORM);
  return [String(session), parameters, value, String(contentType)];
}

function textOf(value: Buffer): string {
  const text = value.toString('utf8');
  value.fill(0);
  return text;
}

const UNKNOWN_FORM = 'the keychain gives a secret of no known form';

/** HKDF-SHA256 of what both come to, without salt and info. Throws a {@link BusError} where the other value is none of the group. */
function agreedKey(ours: KeyPair, theirs: unknown): Buffer {
  if (!Buffer.isBuffer(theirs) || theirs.length === 0 || theirs.length > GROUP_LENGTH + 1) {
    throw new BusError('absent', 'the keychain agrees on no key');
  }
  let shared: Buffer;
  try {
    shared = diffieHellman({ privateKey: ours.privateKey, publicKey: withValue(ours.publicKey, theirs) });
  } catch {
    // 0, 1, or beyond the prime: whoever sends that wants a key that anybody knows.
    throw new BusError('absent', 'the keychain agrees on no key');
  }
  // As long as the group's numbers, zeros in front included: Node gives it so, and so it is derived from.
  const key = Buffer.from(hkdfSync('sha256', shared, '', '', 16));
  shared.fill(0);
  return key;
}

/*
 * The value travels as a bare number, Node gives and takes public keys as DER (RFC 5280 SubjectPublicKeyInfo, PKCS #3):
 * a sequence of the algorithm with its group, and a bit string that holds the number. Node's own class for bare numbers
 * takes 30 ms to make sure of a prime that everybody knows.
 */
const [INTEGER, BIT_STRING, SEQUENCE] = [0x02, 0x03, 0x30];

function publicValue(key: Buffer): Buffer {
  const { value } = partsOfKey(key);
  const number = contentAt(value, 1);
  return number[0] === 0 ? number.subarray(1) : number;
}

/** The same group with another number. */
function withValue(key: Buffer, number: Buffer): KeyObject {
  const { algorithm } = partsOfKey(key);
  const value = element(BIT_STRING, Buffer.concat([Buffer.alloc(1), element(INTEGER, asInteger(number))]));
  return createPublicKey({ key: element(SEQUENCE, Buffer.concat([algorithm, value])), format: 'der', type: 'spki' });
}

/** DER knows one form: no zeros in front, but one where the first bit would make the number negative. */
function asInteger(number: Buffer): Buffer {
  const bare = number.subarray(number.findIndex((byte) => byte !== 0));
  return (bare[0] ?? 0) < 0x80 ? bare : Buffer.concat([Buffer.alloc(1), bare]);
}

function partsOfKey(key: Buffer): { algorithm: Buffer; value: Buffer } {
  const both = contentAt(key, 0);
  const first = contentAt(both, 0);
  const end = first.byteOffset - both.byteOffset + first.length;
  return { algorithm: both.subarray(0, end), value: contentAt(both, end) };
}

/** What is inside the element that begins there. */
function contentAt(bytes: Buffer, at: number): Buffer {
  const short = bytes[at + 1] ?? 0;
  const more = short < 0x80 ? 0 : short & 0x7f;
  const length = more === 0 ? short : bytes.readUIntBE(at + 2, more);
  return bytes.subarray(at + 2 + more, at + 2 + more + length);
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
