/** A value of type `v`: it carries its own signature. */
export interface Variant {
  readonly signature: string;
  readonly value: unknown;
}

/** A D-Bus message; `body` has one value per complete type of `signature`. */
export interface BusMessage {
  /** 1: call, 2: return, 3: error, 4: signal. */
  readonly type: number;
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
}

/**
 * The maximum length of a message, in bytes, read or written. A keychain's messages are a hundred
 * times smaller.
 */
export const MESSAGE_LIMIT: number = 1024 * 1024;

/** The maximum nesting of containers in the specification. */
const DEPTH_LIMIT = 32;
const FIXED_HEADER = 16;
const LITTLE = 'l'.charCodeAt(0);
const BIG = 'B'.charCodeAt(0);

/**
 * Header fields with their codes from the D-Bus specification, "Header Fields"; others are skipped.
 */
const FIELDS = [
  [1, 'path', 'o'],
  [2, 'interface', 's'],
  [3, 'member', 's'],
  [4, 'errorName', 's'],
  [5, 'replySerial', 'u'],
  [6, 'destination', 's'],
  [7, 'sender', 's'],
  [8, 'signature', 'g'],
] as const;

/**
 * Encodes a message, little-endian. Throws RangeError above {@link MESSAGE_LIMIT}, TypeError for a
 * value that doesn't match its type.
 */
export function encodeMessage(message: BusMessage): Buffer {
  const body = new Writer();
  body.all(message.signature ?? '', message.body ?? []);
  const head = new Writer();
  const fields = FIELDS.flatMap(([code, name, signature]) => {
    const value = message[name];
    return value === undefined ? [] : [[code, { signature, value } satisfies Variant]];
  });
  head.all('yyyyuua(yv)', [LITTLE, message.type, 0, 1, body.length, message.serial, fields]);
  head.align(8);
  return Buffer.concat([head.bytes(), body.bytes()]);
}

/**
 * Returns the length of the message at the start of `bytes`, or undefined until its fixed header is
 * complete. Throws RangeError if it isn't a message.
 */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_HEADER) return undefined;
  const reader = new Reader(bytes);
  const [, , , version, bodyLength] = reader.all('yyyyu') as number[];
  reader.skip(4);
  const [fieldsLength] = reader.all('u') as number[];
  const length = FIXED_HEADER + Math.ceil((fieldsLength ?? 0) / 8) * 8 + (bodyLength ?? 0);
  if (version !== 1 || length > MESSAGE_LIMIT) throw new RangeError('not a D-Bus message, or too large');
  return length;
}

/**
 * Decodes a message from exactly its bytes. Byte arrays in the body are views of them. Throws
 * RangeError if it isn't a message.
 */
export function decodeMessage(bytes: Buffer): BusMessage {
  const reader = new Reader(bytes);
  const [, type, , , , serial, fields] = reader.all('yyyyuua(yv)');
  reader.align(8);
  const message: Record<string, unknown> = { type, serial };
  for (const [code, { signature, value }] of fields as [number, Variant][]) {
    const [, name, expected] = FIELDS.find((field) => field[0] === code) ?? [];
    if (name !== undefined && signature === expected) message[name] = value;
  }
  message['body'] = reader.all((message['signature'] as string | undefined) ?? '');
  return message as unknown as BusMessage;
}

/**
 * Encodes values. INVARIANT: space is reserved before `#buffer` is read, because reserving may
 * replace the buffer.
 */
class Writer {
  #buffer = Buffer.alloc(256);
  length = 0;

  all(signature: string, values: readonly unknown[]): void {
    const types = completeTypes(signature);
    if (types.length !== values.length) throw new TypeError(`${values.length} values for signature ${signature}`);
    for (const [index, type] of types.entries()) this.#one(type, values[index]);
  }

  align(boundary: number): void {
    this.#reserve((boundary - (this.length % boundary)) % boundary);
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  #one(type: string, value: unknown): void {
    this.align(alignment(type));
    const kind = type[0];
    if (kind === 'y') this.#u8(value as number);
    else if (kind === 'u') this.#u32(value as number);
    else if (kind === 'b') this.#u32(value === true ? 1 : 0);
    else if (kind === 'i') this.#u32((value as number) >>> 0);
    else if (kind === 's' || kind === 'o') this.#string(value, 4);
    else if (kind === 'g') this.#string(value, 1);
    else if (kind === 'v') this.#variant(value as Variant);
    else if (kind === 'a') this.#array(type.slice(1), value);
    else if (kind === '(' || kind === '{') this.all(type.slice(1, -1), value as unknown[]);
    else throw new TypeError(`a value of type ${type} is not supported`);
  }

  #u8(value: number): void {
    const at = this.#reserve(1);
    this.#buffer.writeUInt8(value, at);
  }

  #u32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  #string(value: unknown, lengthSize: 1 | 4): void {
    if (typeof value !== 'string' || value.includes('\0')) throw new TypeError('expected a string without NUL');
    const bytes = Buffer.from(value, 'utf8');
    if (lengthSize === 4) this.#u32(bytes.length);
    else this.#u8(bytes.length);
    const at = this.#reserve(bytes.length + 1);
    bytes.copy(this.#buffer, at);
  }

  #variant({ signature, value }: Variant): void {
    this.#string(signature, 1);
    this.all(signature, [value]);
  }

  #array(element: string, value: unknown): void {
    const lengthAt = this.#reserve(4);
    this.align(alignment(element));
    const start = this.length;
    if (element === 'y') {
      const at = this.#reserve((value as Uint8Array).length);
      this.#buffer.set(value as Uint8Array, at);
    } else {
      for (const item of value as readonly unknown[]) this.#one(element, item);
    }
    this.#buffer.writeUInt32LE(this.length - start, lengthAt);
  }

  /** Returns the offset of `count` fresh zero bytes. */
  #reserve(count: number): number {
    const offset = this.length;
    this.length += count;
    if (this.length > MESSAGE_LIMIT) throw new RangeError('the D-Bus message is too large');
    if (this.length > this.#buffer.length) {
      const larger = Buffer.alloc(this.length * 2);
      this.#buffer.copy(larger);
      this.#buffer.fill(0);
      this.#buffer = larger;
    }
    return offset;
  }
}

/**
 * Decodes values. Every read is bounded by the buffer: beyond its end, Buffer throws a RangeError.
 */
class Reader {
  readonly #buffer: Buffer;
  readonly #little: boolean;
  #offset = 0;
  #depth = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#little = buffer[0] === LITTLE;
    if (!this.#little && buffer[0] !== BIG) throw new RangeError('not a D-Bus message');
  }

  all(signature: string): unknown[] {
    return completeTypes(signature).map((type) => this.#one(type));
  }

  align(boundary: number): void {
    this.skip((boundary - (this.#offset % boundary)) % boundary);
  }

  skip(count: number): void {
    this.#take(count);
  }

  #one(type: string): unknown {
    this.align(alignment(type));
    const kind = type[0];
    if (kind === 'y') return this.#buffer.readUInt8(this.#take(1));
    if (kind === 'u') return this.#u32();
    if (kind === 'b') return this.#u32() === 1;
    if (kind === 'i') return this.#u32() | 0;
    if (kind === 't' || kind === 'x' || kind === 'd') return this.#raw(8);
    if (kind === 'n' || kind === 'q') return this.#raw(2);
    if (kind === 's' || kind === 'o') return this.#string(this.#u32());
    if (kind === 'g') return this.#string(this.#buffer.readUInt8(this.#take(1)));
    if (kind === 'v') return this.#nested(() => this.#variant());
    if (kind === 'a') return this.#nested(() => this.#array(type.slice(1)));
    if (kind === '(' || kind === '{') return this.#nested(() => this.all(type.slice(1, -1)));
    throw new RangeError('unsupported D-Bus type');
  }

  #u32(): number {
    const at = this.#take(4);
    return this.#little ? this.#buffer.readUInt32LE(at) : this.#buffer.readUInt32BE(at);
  }

  #string(length: number): string {
    const at = this.#take(length + 1);
    return this.#buffer.toString('utf8', at, at + length);
  }

  #variant(): Variant {
    const signature = this.#string(this.#buffer.readUInt8(this.#take(1)));
    const [type, ...others] = completeTypes(signature);
    if (type === undefined || others.length > 0) throw new RangeError('a variant must have exactly one type');
    return { signature, value: this.#one(type) };
  }

  #array(element: string): unknown {
    const length = this.#u32();
    this.align(alignment(element));
    if (element === 'y') return this.#raw(length);
    const end = this.#offset + length;
    if (end > this.#buffer.length) throw new RangeError('an array is longer than its message');
    const items: unknown[] = [];
    while (this.#offset < end) items.push(this.#one(element));
    if (this.#offset !== end) throw new RangeError('an array does not have its stated length');
    return items;
  }

  #raw(length: number): Buffer {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > DEPTH_LIMIT * 2) throw new RangeError('containers nested too deep');
    const value = read();
    this.#depth--;
    return value;
  }

  #take(count: number): number {
    const at = this.#offset;
    if (at + count > this.#buffer.length) throw new RangeError('the D-Bus message is cut off');
    this.#offset += count;
    return at;
  }
}

const ALIGNMENTS: Readonly<Record<string, number>> = {
  y: 1,
  g: 1,
  v: 1,
  n: 2,
  q: 2,
  '(': 8,
  '{': 8,
  x: 8,
  t: 8,
  d: 8,
};

function alignment(type: string): number {
  return ALIGNMENTS[type[0] ?? ''] ?? 4;
}

/** Splits a signature into its complete types. Throws RangeError if it is invalid. */
function completeTypes(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = typeEnd(signature, at, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function typeEnd(signature: string, start: number, depth: number): number {
  const kind = signature[start];
  if (kind === undefined || depth > DEPTH_LIMIT) throw new RangeError('the signature is cut off or nested too deep');
  if (kind === 'a') return typeEnd(signature, start + 1, depth + 1);
  if (kind !== '(' && kind !== '{') return start + 1;
  const close = kind === '(' ? ')' : '}';
  let at = start + 1;
  // An empty struct takes no space, so an array of them would never end.
  if (signature[at] === close) throw new RangeError('a struct must not be empty');
  while (signature[at] !== close) at = typeEnd(signature, at, depth + 1);
  return at + 1;
}
