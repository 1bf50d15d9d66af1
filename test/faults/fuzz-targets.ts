import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  decodeFrameHead,
  decodeHeader,
  encodeHeader,
  messageLengthOf,
  plainLengthOf,
} from '../../src/envelope/format.ts';
import { unpackSegment } from '../../src/envelope/segment.ts';
import { CofferError, type ErrorCode } from '../../src/errors.ts';
import { type Event, encodeEvents, MergedEvents, NO_TIME } from '../../src/session/event/event.ts';
import { readLines } from '../../src/session/event/lines.ts';
import { decodeSummary, encodeSummary, type Summary } from '../../src/session/list/summary.ts';
import { emptyState, fold } from '../../src/session/state.ts';
import { readVaultFile, type VaultFile } from '../../src/vault/keys/record/vault-file.ts';
import { basesOf, key } from './format-attacks.ts';
import { judge, seenOf } from './format-base.ts';
import { PlaceFile, RealOpener } from './format-real.ts';
import type { Target } from './fuzz-loop.ts';
import { isEvent, isNamed, isSummary, isVaultFile, readPlain, readSegment } from './fuzz-reference.ts';
import type { Seeds } from './fuzz-seeds.ts';
import { fileIdNamed, floorAt, headerWith, linkBehind, linkOf, paddingOf, plainOf, sealPlain } from './malicious.ts';

/*
 * The consumers of bytes, each with a property that must hold for every input: it is accepted
 * exactly if the second implementation accepts it, with the same content; if it is refused, the
 * error is a documented one.
 */

/** The decoders under attack that can be replaced by wrong ones. */
export interface Decoders {
  readonly segment: (codec: number, stored: Buffer, plainLength: number) => Buffer;
  readonly summary: (json: Buffer) => Summary;
  readonly events: (lines: Buffer) => Event[];
}

/** Coffer's own. */
export const ownDecoders: Decoders = {
  segment: (codec, stored, plainLength) => {
    if (codec !== 0 && codec !== 1) throw new CofferError('UNAUTHENTIC', 'the decoder of a body refuses it');
    return unpackSegment({ codec, stored, plainLength });
  },
  summary: decodeSummary,
  events: readLines,
};

/** Returns all targets; `folder` is for those that read files. */
export function targetsIn(folder: string, seeds: Seeds, decoders: Decoders = ownDecoders): Target[] {
  return [
    file(folder, seeds),
    content(folder, seeds),
    { name: 'heads', isText: false, seeds: seeds('heads'), run: heads },
    { name: 'segment', isText: false, seeds: seeds('segment'), run: (input) => segment(decoders, input) },
    { name: 'summary', isText: true, seeds: seeds('summary'), run: (input) => summary(decoders, input) },
    { name: 'events', isText: true, seeds: seeds('events'), run: (input) => events(decoders, input) },
    vaultFile(folder, seeds),
  ];
}

/** A whole sealed file, from an attacker without the key. */
function file(folder: string, seeds: Seeds): Target {
  const opener = new RealOpener(join(folder, 'file'));
  const { one, three, others } = basesOf(true);
  const bases = [one, three, ...others.filter((base) => base.key.id === key.id)];
  const codes: ErrorCode[] = ['UNAUTHENTIC', 'NEWER_VERSION', 'KEY_OTHER'];
  const run = (bytes: Buffer): string | undefined => {
    const { seen, contradiction } = opener.open({ what: '', bytes, fileId: one.fileId });
    if (contradiction) return contradiction;
    if (bases.some((base) => base.bytes.equals(bytes))) return undefined;
    const verdicts = bases.map((base) => judge({ what: '', bytes, fileId: base.fileId, base, codes }, seen));
    return verdicts.find(({ verdict }) => verdict !== 'accepted') ? faultIn(verdicts) : 'a forgery is accepted';
  };
  return { name: 'file', isText: false, seeds: [...bases.map((base) => base.bytes), ...seeds('file')], run };
}

function faultIn(verdicts: readonly { verdict: string; why: string }[]): string | undefined {
  return verdicts.find(({ verdict }) => verdict === 'misreported')?.why;
}

/** The plaintext of a frame, sealed with the key. Byte 0 selects the frame and its padding. */
function content(folder: string, seeds: Seeds): Target {
  const opener = new RealOpener(join(folder, 'content'));
  const fileId = fileIdNamed('ours');
  const header = headerWith(key, fileId);
  const first = linkOf(header);
  const honest = sealPlain(key, first, plainOf({}, floorAt(0)));
  const run = (input: Buffer): string | undefined => {
    const index = (input[0] ?? 0) & 1;
    const floor = floorAt(index);
    const plain = padded(input.subarray(1), floor, (input[0] ?? 0) >> 1);
    const chain = index === 0 ? first : linkBehind(first, honest);
    const frames = [...(index === 0 ? [] : [honest]), sealPlain(key, chain, plain)];
    const bytes = Buffer.concat([header, ...frames]);
    const { seen, contradiction } = opener.open({ what: '', bytes, fileId });
    const expected = readPlain(plain, floor);
    if (seen instanceof Error) {
      const code = refusal(seen, ['UNAUTHENTIC']);
      if (code) return code;
      return expected ? `it refuses valid input: ${seen.message}` : contradiction;
    }
    if (!expected) return 'it accepts invalid input';
    const right = seenOf(frames.length, expected.summary, expected.lines, false);
    return isDeepStrictEqual(seen, right) ? contradiction : 'it reads something else';
  };
  return { name: 'content', isText: false, seeds: seeds('content'), run };
}

/** Pads correctly, or in one of the forbidden ways. */
function padded(used: Buffer, floor: number, way: number): Buffer {
  const right = used.length < 2 ? floor : paddingOf(used.length, floor);
  const padding = Buffer.alloc(
    [right, right, right, right, right + 1, Math.max(0, right - 1), 0, right][way % 8] ?? right,
  );
  if (way % 8 === 7 && padding.length > 0) padding[padding.length - 1] = 1;
  return Buffer.concat([used, padding]);
}

/** Reads header and frame head without a key: what was read must serialise to the same bytes. */
function heads(input: Buffer): string | undefined {
  const header = attempt(() => decodeHeader(input));
  const head = attempt(() => decodeFrameHead(input));
  const wrong = refusal(header, ['UNAUTHENTIC', 'NEWER_VERSION']) ?? refusal(head, ['UNAUTHENTIC']);
  if (wrong) return wrong;
  if (!(header instanceof Error) && !encodeHeader(header).equals(input.subarray(0, 52)))
    return 'a header reads as another';
  if (head instanceof Error) return undefined;
  const { length } = head;
  return length === input.readUInt32BE(0) && messageLengthOf(plainLengthOf(length)) === length
    ? undefined
    : 'a wrong length';
}

/** One segment: a codec, its plain length and the stored bytes. */
function segment({ segment: unpack }: Decoders, input: Buffer): string | undefined {
  if (input.length < 5) return undefined;
  const [codec, plainLength, stored] = [input[0]!, input.readUInt32BE(1), input.subarray(5)];
  const lines = attempt(() => unpack(codec, stored, plainLength));
  const expected = readSegment(codec, stored, plainLength);
  if (lines instanceof Error)
    return refusal(lines, ['UNAUTHENTIC']) ?? (expected ? 'it refuses valid input' : undefined);
  if (!expected) return 'it accepts invalid input';
  return lines.equals(expected) ? undefined : 'it returns something else';
}

function summary({ summary: decode }: Decoders, input: Buffer): string | undefined {
  const decoded = attempt(() => decode(input));
  const expected = parsed(input);
  if (decoded instanceof Error) {
    return refusal(decoded, ['UNAUTHENTIC']) ?? (isNamed(expected) ? 'it refuses a summary' : undefined);
  }
  if (!isNamed(expected) || !isSummary(decoded)) return "it accepts something that isn't a summary";
  if (isSummary(expected) && !isDeepStrictEqual(decoded, expected)) return 'it reads something else';
  return isSame(decode(encodeSummary(decoded)), decoded) ? undefined : 'it changes when written again';
}

function events({ events: decode }: Decoders, input: Buffer): string | undefined {
  const decoded = attempt(() => decode(input));
  const lines = linesOf(input);
  if (decoded instanceof Error) return `it refuses events: ${decoded.message}`;
  if (decoded.length !== lines.length) return 'it reads more events, or fewer';
  for (const [at, event] of decoded.entries()) {
    const fault = eventFault(event, lines[at] ?? Buffer.of());
    if (fault !== undefined) return fault;
  }
  const reading = new MergedEvents();
  reading.add(decoded);
  const merged = reading.events;
  if (merged.some((event, index) => index > 0 && event.id <= merged[index - 1]!.id)) return 'ids do not rise';
  const isPlaced = ({ id, ts }: Event): boolean => ts !== NO_TIME && id <= 2 ** 52;
  if (!merged.every((event) => !isPlaced(event) || isEvent(event))) return "it accepts something that isn't an event";
  fold(emptyState, merged);
  return isSame(decode(encodeEvents(decoded)), decoded) ? undefined : 'they change when written again';
}

/**
 * An event must be read unchanged. Of other values the fields are kept without their place, or the
 * line. A kept line may be either.
 */
function eventFault(event: Event, line: Buffer): string | undefined {
  const expected = parsed(line, true);
  const isKept = (expected as { type?: unknown } | undefined)?.type === 'unknown';
  if (isKept) return undefined;
  if (isEvent(expected)) return isSame(event, expected) ? undefined : 'it reads something else';
  if (event.type === 'unknown') {
    const { line: text, bytes } = event as { line?: unknown; bytes?: unknown };
    const isSaid = bytes === undefined ? text === line.toString('utf8') : bytes === line.toString('base64');
    return isSaid ? undefined : 'it keeps another line';
  }
  const { id, ts } = event;
  return isSame(event, { ...(expected as object), id, ts }) ? undefined : 'it reads something else';
}

/**
 * Compares as JSON does: -0 is 0 and a number too large for a double is null. coffer writes
 * neither. The order of fields is irrelevant.
 */
function isSame(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(plain(one), plain(other));
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function vaultFile(folder: string, seeds: Seeds): Target {
  const directory = join(folder, 'vault-file');
  mkdirSync(directory, { recursive: true });
  const place = new PlaceFile(join(directory, 'vault.json'));
  const read = (bytes: Buffer): VaultFile | undefined | Error => {
    place.put(bytes);
    return attempt(() => readVaultFile(directory));
  };
  const run = (input: Buffer): string | undefined => {
    const found = read(input);
    const expected = parsedLoosely(input);
    if (found === undefined) return 'it finds no vault.json';
    if (found instanceof Error) {
      const code = refusal(found, ['UNAUTHENTIC', 'NEWER_VERSION']);
      return code ?? (isVaultFile(expected) ? 'it refuses valid input' : undefined);
    }
    if (!isVaultFile(expected)) return 'it accepts an invalid vault.json';
    const again = read(Buffer.from(JSON.stringify(found)));
    return isDeepStrictEqual(again, found) ? undefined : 'it changes when written again';
  };
  return { name: 'vault.json', isText: true, seeds: seeds('vault.json'), run };
}

function attempt<T>(step: () => T): T | Error {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return error;
  }
}

/**
 * Returns what is wrong with an error: it isn't one of coffer's, or its code isn't documented
 * there.
 */
function refusal(outcome: unknown, codes: readonly ErrorCode[]): string | undefined {
  if (!(outcome instanceof Error)) return undefined;
  if (!(outcome instanceof CofferError)) return `${outcome.name}: ${outcome.message}`;
  return codes.includes(outcome.code) ? undefined : `${outcome.code}: ${outcome.message}`;
}

function linesOf(input: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < input.length; ) {
    const end = input.indexOf('\n', start);
    lines.push(input.subarray(start, end === -1 ? input.length : end));
    start = end === -1 ? input.length : end + 1;
  }
  return lines;
}

/**
 * Parses JSON in UTF-8; undefined if it is not valid. Set `ignoreBOM` to keep a byte order mark as
 * part of the text, as events do.
 */
function parsed(json: Buffer, ignoreBOM = false): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM }).decode(json));
  } catch {
    return undefined;
  }
}

/** Like `parsed`, but reads bytes that aren't UTF-8 as U+FFFD. */
function parsedLoosely(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'));
  } catch {
    return undefined;
  }
}
