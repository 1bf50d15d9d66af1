import { CofferError } from '../../errors.ts';

/** Maximum characters of a name, after trimming. */
const NAME_LIMIT = 100;

/** Maximum bytes of a session's tags as JSON: they must fit into a summary. */
const TAG_BYTES = 2800;

/** Control characters, line separators, and marks that reverse text direction on a terminal. */
const FORBIDDEN = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Validates the name of a session, snapshot or tag. Returns it trimmed. Throws `NAME_INVALID`. */
export function checkName(name: string): string {
  const trimmed = name.trim();
  const length = [...trimmed].length;
  if (length === 0) throw new CofferError('NAME_INVALID', 'a name needs at least one character');
  if (length > NAME_LIMIT) {
    throw new CofferError('NAME_INVALID', `a name can have at most ${NAME_LIMIT} characters, this one has ${length}`);
  }
  if (FORBIDDEN.test(trimmed)) throw new CofferError('NAME_INVALID', "a name can't contain control characters");
  return trimmed;
}

/** Checks that the tags of a session fit into a summary together. Throws `NAME_INVALID`. */
export function checkTagBytes(tags: readonly string[]): void {
  const bytes = Buffer.byteLength(JSON.stringify(tags));
  if (bytes <= TAG_BYTES) return;
  throw new CofferError('NAME_INVALID', `tags must have at most ${TAG_BYTES} bytes as JSON, not ${bytes}`);
}
