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

/**
 * A secret on the wire: session, parameters of the algorithm, value, content type. Signature
 * `(oayays)`.
 */
export type Secret = readonly [session: string, parameters: Buffer, value: Buffer, contentType: string];

/** A session with the Secret Service. */
export interface SecretSession {
  /** The object path of the session. */
  readonly path: string;
  /** Encodes a text as a secret. */
  wrap(text: string): Secret;
  /**
   * Decodes a received secret; `contentType` is the one that the service reports. Throws a
   * {@link BusError} if it is malformed.
   */
  unwrap(secret: unknown): { readonly text: string; readonly contentType: string };
}

/** Group, key derivation and cipher, as the Secret Service specification names them. */
const ENCRYPTED = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
const GROUP = 'modp2';
const GROUP_LENGTH = 128;
const NOT_SUPPORTED = 'org.freedesktop.DBus.Error.NotSupported';

interface KeyPair {
  /** DER */
  readonly publicKey: Buffer;
  readonly privateKey: KeyObject;
}

/** Node has supported this for years, but its types don't include it. */
const generateKeys = generateKeyPairSync as unknown as (type: 'dh', options: object) => KeyPair;

/**
 * Opens a session whose secrets are encrypted with a key of this session, or `plain` if the service
 * supports nothing else, as libsecret does. The key agreement is not authenticated and the cipher
 * has no tag: this keeps a key out of the memory of the bus and hides it from anything that listens
 * there or records it, but doesn't authenticate what arrives. The key's id tells whether it is the
 * right one. Measured: 1 ms here, 3 ms in gnome-keyring.
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
    // Wrong ciphertext length or padding: it was not encrypted for this session.
    throw new BusError('absent', UNKNOWN_FORMAT);
  }
}

function partsOf(secret: unknown): Secret {
  const [session, parameters, value, contentType] = Array.isArray(secret) ? secret : [];
  if (!Buffer.isBuffer(parameters) || !Buffer.isBuffer(value)) throw new BusError('absent', UNKNOWN_FORMAT);
  return [String(session), parameters, value, String(contentType)];
}

function textOf(value: Buffer): string {
  const text = value.toString('utf8');
  value.fill(0);
  return text;
}

const UNKNOWN_FORMAT = 'the keychain returned a secret in an unknown format';

/**
 * Returns the HKDF-SHA256 of the shared secret, without salt and info. Throws a {@link BusError} if
 * the other value isn't in the group.
 */
function agreedKey(ours: KeyPair, theirs: unknown): Buffer {
  if (!Buffer.isBuffer(theirs) || theirs.length === 0 || theirs.length > GROUP_LENGTH + 1) {
    throw new BusError('absent', 'the keychain did not agree on a session key');
  }
  let shared: Buffer;
  try {
    shared = diffieHellman({ privateKey: ours.privateKey, publicKey: withValue(ours.publicKey, theirs) });
  } catch {
    // 0, 1, or beyond the prime: the sender wants a key that anyone knows.
    throw new BusError('absent', 'the keychain did not agree on a session key');
  }
  // The shared secret has the length of the group's numbers, leading zeros included, both as Node
  // returns it and as input of the derivation.
  const key = Buffer.from(hkdfSync('sha256', shared, '', '', 16));
  shared.fill(0);
  return key;
}

/*
 * The value is sent as a bare number, while Node uses DER for public keys (RFC 5280
 * SubjectPublicKeyInfo, PKCS #3): a sequence of the algorithm with its group, and a bit string that
 * contains the number. Node's own class for bare numbers takes 30 ms to verify a well-known prime.
 */
const [INTEGER, BIT_STRING, SEQUENCE] = [0x02, 0x03, 0x30];

function publicValue(key: Buffer): Buffer {
  const { value } = partsOfKey(key);
  const number = contentAt(value, 1);
  return number[0] === 0 ? number.subarray(1) : number;
}

/** Returns a key of the same group with another number. */
function withValue(key: Buffer, number: Buffer): KeyObject {
  const { algorithm } = partsOfKey(key);
  const value = element(BIT_STRING, Buffer.concat([Buffer.alloc(1), element(INTEGER, asInteger(number))]));
  return createPublicKey({ key: element(SEQUENCE, Buffer.concat([algorithm, value])), format: 'der', type: 'spki' });
}

/**
 * DER has one form: no leading zeros, except one if the first bit would make the number negative.
 */
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

/** Returns the content of the element at `at`. */
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
