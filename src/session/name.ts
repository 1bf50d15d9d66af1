import { CofferError } from '../errors.ts';

/** The most characters a name may have, after trimming. */
const NAME_LIMIT = 100;

/** How many bytes the tags of a session may have as JSON: they have to fit a summary. */
const TAG_BYTES = 2800;

/** Control characters, line separators, and marks that reverse the direction of what a terminal shows. */
const FORBIDDEN = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Checks the name of a session, a snapshot or a tag, and returns it trimmed. Throws `NAME_INVALID`. */
export function checkName(name: string): string {
  const trimmed = name.trim();
  const length = [...trimmed].length;
  if (length === 0) throw new CofferError('NAME_INVALID', 'a name needs at least one character');
  if (length > NAME_LIMIT) {
    throw new CofferError('NAME_INVALID', `a name has at most ${NAME_LIMIT} characters, and this one has ${length}`);
  }
  if (FORBIDDEN.test(trimmed)) throw new CofferError('NAME_INVALID', 'a name can have no control characters');
  return trimmed;
}

/** Checks that the tags of a session, each a name, fit together. Throws `NAME_INVALID`. */
export function checkTagBytes(tags: readonly string[]): void {
  const bytes = Buffer.byteLength(JSON.stringify(tags));
  if (bytes <= TAG_BYTES) return;
  throw new CofferError('NAME_INVALID', `tags must have at most ${TAG_BYTES} bytes as JSON, not ${bytes}`);
}
