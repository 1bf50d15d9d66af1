/*
 * Checks the language of the documents and, in TypeScript, of comments and strings:
 *
 *   node tools/language.ts           prints every banned construction, and fails if there is one
 *   node tools/language.ts --count   prints the number of hits in each folder of the sources
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The files that are checked, as globs. Generated documents are left out. */
const CHECKED: readonly string[] = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'docs/{architecture,commands,durability,format,performance,troubleshooting}.md',
  '{src,native-fallback}/**/*.ts',
];

/** The sources that `--count` counts. */
const COUNTED: readonly string[] = ['src/**/*.ts', 'native-fallback/**/*.ts'];

/** A banned construction. */
export interface Ban {
  readonly pattern: RegExp;
  readonly reason: string;
  readonly instead: string;
  /** Only in doc comments: the pattern applies to the whole comment. Default: false. */
  readonly inDocComments?: boolean;
}

const RIDDLE = 'it has to be translated';
const WHO = 'it hides who acts';

/**
 * Every ban. test/project/language.test.ts has, for each, a sentence that it must catch and one
 * that it must not.
 */
export const bans: Readonly<Record<string, Ban>> = {
  'a comment that begins with a question word': {
    pattern: /^(What|Where|Who|Those)\s/,
    reason: 'a sentence without a verb',
    instead: 'a verb phrase: Returns …, Options of …',
    inDocComments: true,
  },
  'a comment that begins with Gives': {
    pattern: /^Gives\s/,
    reason: 'functions return values',
    instead: 'Returns …',
    inDocComments: true,
  },
  'a where that means if': {
    pattern: /\bwhere (there (is|are)|it is not|nothing|nobody|none|no|neither|that is|this is)\b/i,
    reason: 'a condition is not a place',
    instead: 'if, when',
  },
  'unless told': { pattern: /\bunless (told|given)\b/i, reason: RIDDLE, instead: 'default: …' },
  anew: { pattern: /\banew\b/i, reason: 'it is archaic', instead: 'again, or a verb: reseal, rewrite' },
  besides: { pattern: /\bbesides\b/i, reason: 'it is ambiguous', instead: 'in addition to, other than' },
  'nobody and somebody': {
    pattern: /\b(nobody|somebody)\b/i,
    reason: WHO,
    instead: 'no user, a client, another process',
  },
  'the person': { pattern: /\bthe person\b/i, reason: 'it has a name', instead: 'the user' },
  'by itself': {
    pattern: /\bby (itself|themselves)\b/i,
    reason: 'it means alone as well',
    instead: 'automatically, alone, separately',
  },
  'is no X': {
    pattern: /(?<!\bthere )\b(is|are|was|were) no (?!(longer|more|less|matter|doubt|different|better|worse)\b)/i,
    reason: 'it is archaic',
    instead: "isn't a …",
  },
  'goes on': {
    pattern: /\b(go|goes|going|gone|went) on\b/i,
    reason: 'it has too many meanings',
    instead: 'continues, resumes',
  },
  'comes by': { pattern: /\b(come|comes|came) by\b/i, reason: RIDDLE, instead: 'gets, acquires, unlocks' },
  'takes up': { pattern: /\b(take|takes|took|taken) up\b/i, reason: RIDDLE, instead: 'adds, indexes, resumes' },
  'at hand': { pattern: /\bat hand\b/i, reason: RIDDLE, instead: 'available' },
  'so many': {
    pattern: /\b(?<!not )so (many|much)\b(?! (as|that|so)\b)/i,
    reason: 'it counts nothing',
    instead: 'a number, or: how many … (default: n)',
  },
  'what there is': { pattern: /\bwhat there is\b/i, reason: RIDDLE, instead: 'a noun' },
  'is told': {
    pattern: /\b(is|are|was|be) told(?= *([.,;:)]|$| (and|by|at|in one line)\b))/i,
    reason: WHO,
    instead: 'coffer reports …',
  },
  'ways in': { pattern: /\bways? in\b(?! (which|the|a|this|that)\b)/i, reason: RIDDLE, instead: 'key slots' },
  'for want of': { pattern: /\bfor want of\b/i, reason: 'it is archaic', instead: 'without, because there is no …' },
};

/** Exceptions: in `file`, a hit is allowed if the words around it contain `text`. */
const ALLOWED: readonly { readonly file: string; readonly text: string }[] = [
  // Values that are recorded, or part of the API.
  { file: 'src/cli/commands/vault/recover.ts', text: 'at hand' },
  { file: 'src/vault/keys/recover.ts', text: 'at hand' },
  { file: 'src/chat/calls.ts', text: 'nobody' },
  { file: 'src/chat/tools/toolbox.ts', text: 'nobody' },
  { file: 'src/session/change/redact.ts', text: 'nobody' },
  { file: 'src/session/event/check.ts', text: 'nobody' },
  { file: 'src/session/event/event.ts', text: 'nobody' },
  // A text in notes that are on disk.
  { file: 'src/vault/file/quarantine.ts', text: 'went on as that session' },
  // The way into a vault is what a slot is.
  { file: 'src/vault/keys/slots/key-slots.ts', text: 'last way in' },
];

/** A piece of text in a file. */
export interface Piece {
  readonly text: string;
  /** The line on which it begins, from 1. */
  readonly line: number;
  readonly kind: 'prose' | 'doc comment' | 'comment' | 'string';
}

/** A banned construction in a file. */
export interface Hit {
  readonly line: number;
  readonly ban: string;
  /** The words around it. */
  readonly text: string;
}

/**
 * Finds the banned constructions in a file. `path` decides how the file is read and which hits are
 * allowed.
 */
export function hitsIn(path: string, content: string, allowed: typeof ALLOWED = ALLOWED): Hit[] {
  const pieces = path.endsWith('.md') ? proseIn(content) : piecesOf(content);
  const right = allowed.filter(({ file }) => file === path).map(({ text }) => text);
  return pieces.flatMap(({ text, line, kind }) => {
    const flat = text.replaceAll(/\s+/g, ' ');
    return Object.entries(bans)
      .filter(([, { inDocComments = false }]) => !inDocComments || kind === 'doc comment')
      .flatMap(([ban, { pattern }]) =>
        [...flat.matchAll(new RegExp(pattern, `${pattern.flags}g`))].map(({ index }) => ({ index, ban })),
      )
      .map(({ index, ban }) => ({ line: line + linesBefore(text, index), ban, text: around(flat, index) }))
      .filter((hit) => !right.some((part) => hit.text.includes(part)));
  });
}

/** Returns the paragraphs of a Markdown document, without code and generated sections. */
function proseIn(content: string): Piece[] {
  const blank = (text: string): string => text.replaceAll(/[^\n]/g, '');
  const prose = content
    .replaceAll(/^<!-- (\w+): [^>]*-->\n.*?^<!-- (?:end of \1|\1: end) -->$/gms, blank)
    .replaceAll(/^(```|~~~).*?^\1$/gms, blank)
    .replaceAll(/`[^`\n]*`/g, '…')
    .replaceAll(/\]\([^)\s]*\)/g, ']');
  const pieces: Piece[] = [];
  let line = 1;
  for (const text of prose.split(/(?<=\n)(?=\n|[-*|#]|\d+\. )/)) {
    if (text.trim() !== '') pieces.push({ text, line, kind: 'prose' });
    line += linesIn(text);
  }
  return pieces;
}

/** Returns the comments and strings of TypeScript. Consecutive line comments are one piece. */
export function piecesOf(source: string): Piece[] {
  const token =
    /\/\*.*?\*\/|(?:\/\/[^\n]*\n[ \t]*)*\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|(?<=[=(:,[!&|?{};+]\s*|return\s+|^\s*)\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/gs;
  return [...source.matchAll(token)].flatMap(({ 0: match, index }): Piece[] => {
    const line = 1 + linesIn(source.slice(0, index));
    if (match.startsWith('/*')) {
      const text = match.slice(2, -2).replaceAll(/^[ \t]*\* ?/gm, '');
      const begin = text.length - text.trimStart().length;
      const kind = match.startsWith('/**') ? 'doc comment' : 'comment';
      return [{ text: text.trim(), line: line + linesIn(text.slice(0, begin)), kind }];
    }
    if (match.startsWith('//')) return [{ text: match.replaceAll(/^[ \t]*\/\/ ?/gm, ''), line, kind: 'comment' }];
    if (match.startsWith('/')) return []; // a regular expression
    return [{ text: match.slice(1, -1).replaceAll(/\$\{[^}]*\}/g, '…'), line, kind: 'string' }];
  });
}

/**
 * Counts the line breaks before `index`, an offset into the text with its white space reduced to
 * single spaces.
 */
function linesBefore(text: string, index: number): number {
  const before = [...text.matchAll(/\s+|\S/g)].slice(0, index);
  return before.reduce((sum, [part]) => sum + linesIn(part), 0);
}

function linesIn(text: string): number {
  return text.split('\n').length - 1;
}

function around(text: string, index: number): string {
  return text.slice(Math.max(0, index - 40), index + 60).trim();
}

/** Returns the hits in the files that `globs` name. */
function check(root: string, globs: readonly string[]): { path: string; hit: Hit }[] {
  return globSync([...globs], { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .flatMap((path) => hitsIn(path, readFileSync(join(root, path), 'utf8')).map((hit) => ({ path, hit })));
}

/** Returns the exceptions that are no longer needed. */
function staleIn(root: string): typeof ALLOWED {
  return ALLOWED.filter(({ file, text }) => {
    const path = join(root, file);
    return existsSync(path) && !readFileSync(path, 'utf8').includes(text);
  });
}

function count(root: string): void {
  const counts = new Map<string, number>();
  for (const { path } of check(root, COUNTED)) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  for (const [folder, hits] of [...counts].sort()) console.log(`${String(hits).padStart(5)}  ${folder}`);
  console.log(`${String([...counts.values()].reduce((sum, hits) => sum + hits, 0)).padStart(5)}  in all`);
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  if (process.argv.includes('--count')) count(root);
  else {
    const found = check(root, CHECKED);
    for (const { file, text } of staleIn(root)) {
      console.error(`${file} has no ${JSON.stringify(text)} any more; remove it from ALLOWED in tools/language.ts`);
      process.exitCode = 1;
    }
    for (const { path, hit } of found) {
      const { reason, instead } = bans[hit.ban]!;
      console.error(`${path}:${hit.line}: ${hit.ban}: "${hit.text}"; ${reason}; write ${instead}`);
    }
    if (found.length > 0) process.exitCode = 1;
  }
}
