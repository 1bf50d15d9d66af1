import fc from 'fast-check';
import { type Event, encodeEvents, MergedEvents, mayBeDraft, type NewEvent } from '../../../src/session/event/event.ts';
import { readLines } from '../../../src/session/event/lines.ts';
import { folded, type Match, matchesIn, textsOf } from '../../../src/session/search/texts.ts';
import { reply, user } from '../../support/vault.ts';

/** The reference search: parses every event and searches its texts. */
export function slow(segments: readonly Buffer[], wanted: string): Match[] {
  const merged = new MergedEvents();
  for (const lines of segments) merged.add(readLines(lines));
  return merged.events.flatMap(textsOf).flatMap((said) => matchesIn(said, wanted));
}

/** Returns a piece of recorded text, so that there is often a match, or of the encoded record. */
export function wantedFrom(segments: readonly Buffer[], place: number, length: number): string {
  const texts = segments.flatMap((lines) =>
    readLines(lines)
      .flatMap(textsOf)
      .map(({ text }) => text),
  );
  const text = place % 7 === 0 ? segments.map(String).join('') : texts.join('\n');
  const start = place % (text.length + 1);
  const piece = text.slice(start, start + 1 + length);
  return folded(piece === '' ? 'k' : place % 3 === 0 ? piece.toUpperCase() : piece);
}

const nasty = fc.constantFrom(
  ...[
    'é',
    'e\u0301',
    'ß',
    'İ',
    'i\u0307',
    'ı',
    '\u212a',
    'k',
    'K',
    'i',
    'I',
    ';',
    '\u037e',
    '`',
    '\u1fef',
    'Å',
    '\u212b',
  ],
  ...[
    '"',
    '\\',
    '\n',
    '\r\n',
    '\t',
    '\b',
    '\u0000',
    '\u001f',
    '\u007f',
    '\u0085',
    '/',
    '\u2028',
    '😀',
    '\ud83d',
    '\ude00',
  ],
  ...[
    '\u0301',
    '\u0338',
    '\u0307',
    'Σ',
    'ς',
    'σ',
    'ΑΣ',
    'ﬁ',
    '\u1e9e',
    'ǅ',
    '가',
    '\u1100',
    '\u1161',
    '日本',
    'needle',
    'Needle',
  ],
  ...[
    '\\n',
    '\\u00e9',
    'u001f',
    'n',
    'f',
    'a',
    'b',
    ' ',
    '{"id":1,',
    'text',
    '1e21',
    'ё',
    'Ё',
    '\u0958',
    '\ufb1d',
    '\uac00\u11a8',
  ],
);
const text = fc.array(nasty, { maxLength: 8 }).map((parts) => parts.join(''));
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.double(),
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.dictionary(text, tie('value'), { maxKeys: 3 }),
})).value;
const recorded: fc.Arbitrary<NewEvent> = fc.oneof(
  text.map(user),
  text.map(reply),
  text.map(
    (text): NewEvent => ({ type: 'message', message: { role: 'assistant', content: [{ type: 'reasoning', text }] } }),
  ),
  value.map((input): NewEvent => {
    const call = { type: 'tool-call', toolCallId: 'needle', toolName: 'k', input } as const;
    return { type: 'message', message: { role: 'assistant', content: [call] } };
  }),
  value.map((output): NewEvent => {
    const result = { type: 'tool-result', toolCallId: 'needle', toolName: 'k', output } as const;
    return { type: 'message', message: { role: 'tool', content: [result] } };
  }),
  text.map((summary): NewEvent => ({ type: 'compaction', summary, through: 0, model: 'needle' })),
  text.map((message): NewEvent => ({ type: 'error', code: 'needle', message })),
  text.map((name): NewEvent => ({ type: 'name', name })),
);
/** Segments of events whose ids mostly increase by one, but sometimes repeat to replace a draft. */
export const session: fc.Arbitrary<Buffer[]> = fc
  .array(fc.array(fc.tuple(recorded, fc.boolean()), { maxLength: 5 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((segments) => {
    let id = 0;
    let before: Event | undefined;
    return segments.map((events) =>
      encodeEvents(
        events.map(([event, isReplaced]): Event => {
          if (!isReplaced || before === undefined || !mayBeDraft(before)) id++;
          before = { id, ts: 1, ...event };
          return before;
        }),
      ),
    );
  });
