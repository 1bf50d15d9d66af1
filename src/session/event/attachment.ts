import type { Message, Part } from './event.ts';

/** A file attached to a message. `data` is base64, a data URL or another URL. */
export type FilePart = Extract<Part, { type: 'file' }>;

/**
 * The detected content of a file: base64 that providers accept as `mediaType`, text, or a reason
 * why it can't be sent.
 */
export type Attachment =
  | { readonly kind: 'file'; readonly mediaType: string; readonly data: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'broken'; readonly reason: string };

/**
 * Detects a file's content from its bytes and ignores the declared media type, because providers
 * reject a whole conversation if one image has the wrong media type. They accept PNG, JPEG, GIF,
 * WebP and PDF; text is sent as text.
 */
export function readAttachment({ mediaType, data }: FilePart): Attachment {
  const base64 = base64Of(data);
  if (base64 === undefined) return broken('it is only a URL');
  if (base64 === '') return broken('it is empty');
  if (!isBase64(base64)) return broken('it is not base64');
  const sniffed = sniff(Buffer.from(base64.slice(0, 16), 'base64'));
  if (sniffed !== undefined) return { kind: 'file', mediaType: sniffed, data: base64 };
  if (/^image\//i.test(mediaType)) return broken('it is not a PNG, JPEG, GIF or WebP image');
  if (/^application\/pdf$/i.test(mediaType)) return broken('it is not a PDF');
  const text = decode(Buffer.from(base64, 'base64'));
  return text === undefined ? broken('it is neither text nor an image or PDF') : { kind: 'text', text };
}

/** Decodes a file's data. Returns undefined if it is a URL or not valid base64. */
export function bytesIn(data: string): Buffer | undefined {
  const base64 = base64Of(data);
  return base64 !== undefined && isBase64(base64) ? Buffer.from(base64, 'base64') : undefined;
}

/**
 * Applies `change` to the text in a file's data, ignoring the media type. Returns the new data as
 * base64, the same data if nothing changed, or undefined if it isn't text.
 */
export function changeText(data: string, change: (text: string) => string): string | undefined {
  const bytes = bytesIn(data);
  const text = bytes && decode(bytes);
  if (text === undefined) return undefined;
  const changed = change(text);
  return changed === text ? data : Buffer.from(changed).toString('base64');
}

/** A file in a conversation that can't be sent to any model, and the reason. */
export interface BrokenFile {
  /** Number of its message, counted from 1. */
  readonly message: number;
  readonly name: string;
  readonly reason: string;
}

/** Lists the files in messages that can't be sent to any model. */
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

/** Returns the name to show for a file: its file name, or else its media type. */
export function nameOfFile({ filename, mediaType }: FilePart): string {
  return filename || mediaType;
}

/** Returns the base64 in a file's data; undefined if it is a URL without data. */
function base64Of(data: string): string | undefined {
  const [, inline] = /^data:[^,]*;base64,(.*)$/s.exec(data) ?? [];
  if (inline === undefined && /^[a-z][a-z0-9+.-]*:/i.test(data)) return undefined;
  return (inline ?? data).replaceAll(/\s/g, '');
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 !== 1;
}

/** Detects PNG (RFC 2083), JPEG, GIF, WebP (RFC 9649) and PDF by their first bytes. */
function sniff(bytes: Buffer): string | undefined {
  const starts = bytes.toString('latin1', 0, 12);
  if (starts.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (starts.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (/^GIF8[79]a/.test(starts)) return 'image/gif';
  if (/^RIFF.{4}WEBP/s.test(starts)) return 'image/webp';
  return starts.startsWith('%PDF-') ? 'application/pdf' : undefined;
}

/** Decodes UTF-8. Returns undefined if it is invalid or contains NUL, as only binary files do. */
function decode(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined; // not UTF-8
  }
}

function broken(reason: string): Attachment {
  return { kind: 'broken', reason };
}
