import type { Describe } from './describe.ts';

/** The commands that are described together. */
interface Group {
  readonly names: readonly string[];
  load(): Promise<Describe>;
}

/** The commands, in the order in which help shows them. */
export const groups: readonly Group[] = [
  {
    names: ['sessions', 'resume', 'save', 'models'],
    load: async () => (await import('./finding.ts')).describeFinding,
  },
  {
    names: ['rename', 'pin', 'unpin', 'archive', 'unarchive', 'tag', 'untag', 'delete', 'prune'],
    load: async () => (await import('./keeping.ts')).describeKeeping,
  },
  {
    names: ['status', 'logs', 'stats'],
    load: async () => (await import('./seeing.ts')).describeSeeing,
  },
  {
    names: ['compact', 'fork', 'rewind', 'redact', 'permissions'],
    load: async () => (await import('./context.ts')).describeContext,
  },
  {
    names: ['export', 'import'],
    load: async () => (await import('./privacy.ts')).describePrivacy,
  },
  {
    names: ['config'],
    load: async () => (await import('./settings.ts')).describeSettings,
  },
  {
    names: ['doctor', 'salvage', 'recover'],
    load: async () => (await import('./vault.ts')).describeVault,
  },
  {
    names: ['key', 'purge'],
    load: async () => (await import('./key.ts')).describeKey,
  },
  {
    names: ['completion', 'complete'],
    load: async () => (await import('./help.ts')).describeHelp,
  },
];

/** What is about all commands, or asks for help with some. */
const ABOUT_ALL = /^(completion|complete|--help|-[a-z]*h[a-z]*)$/i;

/** Loads the description of every command. */
export function allGroups(): Promise<Describe[]> {
  return Promise.all(groups.map((group) => group.load()));
}

/**
 * Loads the groups whose commands these arguments name, wherever they stand; none for a chat. That is enough to run what they ask for, not to
 * say what is wrong with them. Undefined where it is not enough.
 */
export async function likelyGroups(args: readonly string[]): Promise<Describe[] | undefined> {
  if (args.some((argument) => ABOUT_ALL.test(argument))) return undefined;
  const named = groups.filter(({ names }) => names.some((name) => args.includes(name)));
  return Promise.all(named.map((group) => group.load()));
}
