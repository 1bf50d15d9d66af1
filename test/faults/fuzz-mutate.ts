import type { Chance } from './chance.ts';

/** Maximum length of an input. */
const LONGEST = 8192;

/** Changes an input at random, once or a few times. */
export function mutate(chance: Chance, input: Buffer, others: readonly Buffer[], isText: boolean): Buffer {
  let bytes: Buffer = input;
  const times = 1 + chance.below(chance.percent(50) ? 2 : 6);
  for (let time = 0; time < times; time++) {
    const change = isText && chance.percent(60) ? changeJson : chance.of(changes)!;
    bytes = change(chance, Buffer.from(bytes), others);
  }
  return bytes.subarray(0, LONGEST);
}

type Change = (chance: Chance, bytes: Buffer, others: readonly Buffer[]) => Buffer;

const changes: readonly Change[] = [
  function flipBit(chance, bytes) {
    if (bytes.length > 0) bytes[chance.below(bytes.length)]! ^= 1 << chance.below(8);
    return bytes;
  },
  function setByte(chance, bytes) {
    if (bytes.length > 0)
      bytes[chance.below(bytes.length)] = chance.percent(50) ? chance.below(256) : chance.of(BYTES)!;
    return bytes;
  },
  function setNumber(chance, bytes) {
    if (bytes.length < 4) return bytes;
    const at = chance.percent(40) ? 0 : chance.below(bytes.length - 3);
    bytes.writeUInt32BE(numberNear(chance, bytes.readUInt32BE(at), bytes.length), at);
    return bytes;
  },
  function setLongNumber(chance, bytes) {
    if (bytes.length >= 8) bytes.writeBigUInt64BE(chance.of(LONG)!, chance.below(bytes.length - 7));
    return bytes;
  },
  function remove(chance, bytes) {
    const [from, to] = range(chance, bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  function double(chance, bytes) {
    const [from, to] = range(chance, bytes.length);
    const times = 1 + chance.below(chance.percent(10) ? 40 : 2);
    return Buffer.concat([
      bytes.subarray(0, to),
      ...Array<Buffer>(times).fill(bytes.subarray(from, to)),
      bytes.subarray(to),
    ]);
  },
  function insert(chance, bytes) {
    const at = chance.below(bytes.length + 1);
    const fresh = Buffer.alloc(1 + chance.below(16), chance.of(BYTES)!);
    return Buffer.concat([bytes.subarray(0, at), fresh, bytes.subarray(at)]);
  },
  function cut(chance, bytes) {
    return bytes.subarray(0, chance.below(bytes.length + 1));
  },
  function splice(chance, bytes, others) {
    const other = chance.of(others) ?? bytes;
    return Buffer.concat([
      bytes.subarray(0, chance.below(bytes.length + 1)),
      other.subarray(chance.below(other.length + 1)),
    ]);
  },
  function write(chance, bytes) {
    const token = Buffer.from(chance.of(TOKENS)!);
    const at = chance.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), token, bytes.subarray(chance.percent(50) ? at : at + token.length)]);
  },
];

/** Changes a value of one of the JSON objects on the lines of an input. */
function changeJson(chance: Chance, bytes: Buffer): Buffer {
  const lines = bytes.toString('utf8').split('\n');
  const at = chance.below(lines.length);
  try {
    const value: unknown = JSON.parse(lines[at] ?? '');
    lines[at] = changed(chance, JSON.stringify(value), value);
  } catch {
    return bytes; // it isn't JSON any more; the other mutations cover that
  }
  if (chance.percent(5)) lines.splice(at, 0, lines[at] ?? '');
  return Buffer.from(lines.join('\n'));
}

function changed(chance: Chance, text: string, value: unknown): string {
  const parents = containersIn(value);
  const parent = chance.of(parents);
  if (parent === undefined) return chance.of(LITERALS)!;
  const names = Object.keys(parent);
  const name = chance.percent(85) ? chance.of(names) : chance.of(NAMES);
  if (name === undefined) return text;
  if (chance.percent(15)) delete parent[name];
  else {
    const mark = `mark-${chance.below(2 ** 31)}`;
    const old = parent[name];
    Object.defineProperty(parent, name, { value: mark, enumerable: true, configurable: true, writable: true });
    const literal = chance.percent(20)
      ? JSON.stringify(chance.of(parents) === parent ? old : value)
      : chance.of(LITERALS)!;
    return JSON.stringify(value).replace(JSON.stringify(mark), () => (literal.includes(mark) ? 'null' : literal));
  }
  return JSON.stringify(value);
}

function containersIn(value: unknown, found: Record<string, unknown>[] = []): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return found;
  found.push(value as Record<string, unknown>);
  for (const inner of Object.values(value)) containersIn(inner, found);
  return found;
}

function range(chance: Chance, length: number): [number, number] {
  const from = chance.below(length + 1);
  return [from, Math.min(length, from + 1 + chance.below(chance.percent(70) ? 16 : length))];
}

function numberNear(chance: Chance, old: number, length: number): number {
  const near = [old + 1, old - 1, old + chance.below(64), length, length - chance.below(64), chance.below(length + 64)];
  return Math.max(0, chance.of(chance.percent(50) ? near : NUMBERS)!) >>> 0;
}

const BYTES = [
  0, 1, 2, 3, 4, 9, 10, 13, 0x20, 0x22, 0x27, 0x2c, 0x30, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xef, 0xff,
];
const NUMBERS = [
  0,
  1,
  8,
  9,
  255,
  256,
  1024,
  4096,
  12_288,
  12_289,
  16_384,
  2 ** 16,
  2 ** 24,
  2 ** 29,
  2 ** 29 + 1,
  2 ** 30,
  2 ** 31,
  2 ** 32 - 1,
];
const LONG = [0n, 1n, 255n, 4096n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
const LITERALS = [
  ...[
    'null',
    'true',
    'false',
    '0',
    '-0',
    '-1',
    '1',
    '1.5',
    '1e999',
    '-1e999',
    '9007199254740991',
    '9007199254740992',
    '1e-400',
  ],
  ...[
    '""',
    '"a"',
    '"\\u0000"',
    '"\\ud800"',
    '"\ufeff"',
    '"__proto__"',
    '[]',
    '{}',
    '[[]]',
    '[null]',
    '{"type":"text","text":"a"}',
  ],
  ...['[{"type":"text","text":"a"}]', '{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}'],
  ...[
    '"session"',
    '"snapshot"',
    '"running"',
    '"completed"',
    '"message"',
    '"usage"',
    '"begin"',
    '"status"',
    '"toString"',
    '"system"',
    '"tool"',
  ],
  ...[
    '"f5b4a6d8-58b8-4f3c-9a53-3c1f6a0f3a11"',
    '"0123456789abcdef0123456789abcdef"',
    '"AAAA"',
    '"AAA="',
    '2',
    '"argon2id"',
    '"recovery"',
  ],
  ...[
    '[{"type":"tool-call","toolCallId":"a","toolName":"b","input":{}}]',
    '[{"type":"tool-result","toolCallId":"a","toolName":"b"}]',
  ],
];
const NAMES = [
  ...[
    '__proto__',
    'constructor',
    'toString',
    'length',
    'type',
    'id',
    'ts',
    'kind',
    'uuid',
    'content',
    'role',
    'parts',
    'format',
    'key',
  ],
  ...[
    'slots',
    'retiring',
    'retiringSlots',
    'partial',
    'parent',
    'branch',
    'title',
    'cost',
    'messages',
    'unreadable',
    'reason',
  ],
];
const TOKENS = [
  ...LITERALS,
  ...NAMES.map((name) => `"${name}":null,`),
  '\ufeff',
  '\r\n',
  '\n',
  '\n\n',
  '\u2028',
  '//',
  '\x1b[2J',
];
