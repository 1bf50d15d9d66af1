import type { Message, Part } from './event.ts';

/** A file of a message. `data` is base64, or an address. */
export type FilePart = Extract<Part, { type: 'file' }>;

/** What a file turns out to be: bytes that providers accept under `mediaType`, text, or nothing that can be sent, and why. */
export type Attachment =
  | { readonly kind: 'file'; readonly mediaType: string; readonly data: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'broken'; readonly reason: string };

/**
 * Looks at the bytes of a file, whatever its media type says: providers refuse a whole conversation for one image that isn't what it is
 * called. They accept PNG, JPEG, GIF, WebP and PDF; text is sent as text.
 */
export function readAttachment({ mediaType, data }: FilePart): Attachment {
  const base64 = base64Of(data);
  if (base64 === undefined) return broken('it is only an address');
  if (base64 === '') return broken('it is empty');
  if (!isBase64(base64)) return broken('it is not base64');
  const sniffed = sniff(Buffer.from(base64.slice(0, 16), 'base64'));
  if (sniffed !== undefined) return { kind: 'file', mediaType: sniffed, data: base64 };
  if (/^image\//i.test(mediaType)) return broken('it is not a PNG, JPEG, GIF or WebP image');
  if (/^application\/pdf$/i.test(mediaType)) return broken('it is not a PDF');
  const text = decode(Buffer.from(base64, 'base64'));
  return text === undefined ? broken('it is neither text nor an image or PDF') : { kind: 'text', text };
}

/** Returns the bytes of a file's data; undefined if they aren't in it. */
export function bytesIn(data: string): Buffer | undefined {
  const base64 = base64Of(data);
  return base64 !== undefined && isBase64(base64) ? Buffer.from(base64, 'base64') : undefined;
}

/** Changes the text that a file's data has, whatever its media type says; undefined if it has none. */
export function changeText(data: string, change: (text: string) => string): string | undefined {
  const bytes = bytesIn(data);
  const text = bytes && decode(bytes);
  if (text === undefined) return undefined;
  const changed = change(text);
  return changed === text ? data : Buffer.from(changed).toString('base64');
}

/** A file of a conversation that no model can be sent, and why. */
export interface BrokenFile {
  /** The number of its message, from 1. */
  readonly message: number;
  readonly name: string;
  readonly reason: string;
}

/** Lists the files in messages that no model can be sent. */
export function brokenFiles(messages: readonly Message[]): BrokenFile[] {
  return messages.flatMap(({ content }, at) => {
    const parts: readonly Part[] = typeof content === 'string' ? [] : content;
    return parts.flatMap((part) => {
      const found = part.type === 'file' ? readAttachment(part) : undefined;
      if (part.type !== 'file' || found?.kind !== 'broken') return [];
      return { message: at + 1, name: nameOfFile(part), reason: found.reason };
    });
  });
}

/** How a file is called in a sentence: its name, else its media type. */
export function nameOfFile({ filename, mediaType }: FilePart): string {
  return filename || mediaType;
}

/** The base64 of a file's data; undefined if that is only an address. */
function base64Of(data: string): string | undefined {
  const [, inline] = /^data:[^,]*;base64,(.*)$/s.exec(data) ?? [];
  if (inline === undefined && /^[a-z][a-z0-9+.-]*:/i.test(data)) return undefined;
  return (inline ?? data).replaceAll(/\s/g, '');
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 !== 1;
}

/** Tells PNG (RFC 2083), JPEG, GIF, WebP (RFC 9649) and PDF by their first bytes. */
function sniff(bytes: Buffer): string | undefined {
  const starts = bytes.toString('latin1', 0, 12);
  if (starts.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (starts.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (/^GIF8[79]a/.test(starts)) return 'image/gif';
  if (/^RIFF.{4}WEBP/s.test(starts)) return 'image/webp';
  return starts.startsWith('%PDF-') ? 'application/pdf' : undefined;
}

/** Returns bytes as text; undefined if they aren't UTF-8, or have a NUL as only binary files do. */
function decode(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined; // not UTF-8: the answer
  }
}

function broken(reason: string): Attachment {
  return { kind: 'broken', reason };
}
