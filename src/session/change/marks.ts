import { CofferError } from '../../errors.ts';
import type { NewEvent } from '../event/event.ts';
import { checkName } from '../event/name.ts';
import type { Row } from '../list/row.ts';
import type { State } from '../state.ts';

/** Maximum number and length of a session's tags: they must fit into a summary. */
const TAGS = 16;
const TAG_LENGTH = 40;

/** The name, pin, archive flag and tags of a session. */
export type Marks = Pick<State, 'name' | 'pinned' | 'archived' | 'tags'>;

/** A change of marks: returns the event that records it, or undefined if it changes nothing. */
export type Mark = (marks: Marks) => NewEvent | undefined;

/** A change of how a session is listed, as data. */
export type MarkChange =
  | { readonly kind: 'rename'; readonly name: string }
  | { readonly kind: 'pin' | 'archive'; readonly on: boolean }
  | { readonly kind: 'tag' | 'untag'; readonly tags: readonly string[] };

/** Returns how to make a change. Throws `NAME_INVALID` for an invalid name or tag. */
export function markOf(change: MarkChange): Mark {
  switch (change.kind) {
    case 'rename':
      return naming(change.name);
    case 'pin':
      return pinning(change.on);
    case 'archive':
      return archiving(change.on);
    case 'tag':
      return tagging(change.tags);
    case 'untag':
      return untagging(change.tags);
  }
}

/** Names a session. Throws `NAME_INVALID`. */
export function naming(name: string): Mark {
  const checked = checkName(name);
  if (/^(last|_autosave|\d+)$/.test(checked)) {
    throw new CofferError('NAME_INVALID', `${checked} can't be a name: it already selects a session`, {
      advice: 'choose another name',
    });
  }
  return (marks) => (marks.name === checked ? undefined : { type: 'name', name: checked });
}

/** Pins a session, which protects it from pruning, or unpins it. */
export function pinning(pinned: boolean): Mark {
  return (marks) => (marks.pinned === pinned ? undefined : { type: 'pin', pinned });
}

/** Archives a session, which hides it in the list, or restores it. */
export function archiving(archived: boolean): Mark {
  return (marks) => (marks.archived === archived ? undefined : { type: 'archive', archived });
}

/** Adds tags to a session. Throws `NAME_INVALID` for an invalid tag or too many tags. */
export function tagging(tags: readonly string[]): Mark {
  const checked = checkTags(tags);
  return (marks) => {
    const all = [...new Set([...marks.tags, ...checked])].sort();
    if (all.length > TAGS) {
      throw new CofferError('NAME_INVALID', `a session can have at most ${TAGS} tags, this would make ${all.length}`);
    }
    return all.length === marks.tags.length ? undefined : { type: 'tags', tags: all };
  };
}

/** Removes tags from a session. Throws `NAME_INVALID` for a tag it doesn't have. */
export function untagging(tags: readonly string[]): Mark {
  return (marks) => {
    const missing = tags.find((tag) => !marks.tags.includes(tag));
    if (missing !== undefined) {
      const has = marks.tags.length === 0 ? 'it has none' : `it has ${marks.tags.join(', ')}`;
      throw new CofferError('NAME_INVALID', `no tag ${missing} to remove`, { advice: has });
    }
    return tags.length === 0 ? undefined : { type: 'tags', tags: marks.tags.filter((tag) => !tags.includes(tag)) };
  };
}

/** Returns the marks of a row. */
export function marksOf({ name, pinned = false, archived = false, tags = [] }: Row): Marks {
  return { name, pinned, archived, tags };
}

function checkTags(tags: readonly string[]): readonly string[] {
  for (const tag of tags) {
    if (/^[\p{Ll}\p{Lo}\p{M}\p{N}_-]+$/u.test(tag) && [...tag].length <= TAG_LENGTH) continue;
    const form = `lower-case letters, digits, - and _, at most ${TAG_LENGTH}`;
    throw new CofferError('NAME_INVALID', `${JSON.stringify([...tag].slice(0, 60).join(''))} can't be a tag`, {
      advice: `a tag has ${form}`,
    });
  }
  return tags;
}
