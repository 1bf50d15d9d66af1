import { nextCall, type Reply } from './dialect.ts';

/** The streaming differences of a dialect of the OpenAI protocol. */
export interface Style {
  /** Returns the id of a call, by its number. */
  readonly id: (number: number) => string;
  /** Returns the delta that carries reasoning. If omitted, none is sent. */
  readonly reasoning?: (text: string) => object;
  /** Returns the delta that carries text. Default: `content`. */
  readonly text?: (text: string) => object;
  /**
   * Returns the fields of a call in addition to its function; `at` counts the calls of a reply from
   * 0.
   */
  readonly extra?: (call: { name: string; arguments: string }, at: number) => object;
  /** Chunks sent before everything else. */
  readonly first?: readonly object[];
  /** The reported usage; null for none. */
  readonly usage?: object | null;
}

/** Returns a reply as chunks of the OpenAI protocol. */
export function chunksOf({ reasoning, text, calls }: Reply, style: Style): object[] {
  const { usage = { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 } } = style;
  const deltas: object[] = [{ role: 'assistant', content: '' }];
  if (style.reasoning) for (const piece of halves(reasoning)) deltas.push(style.reasoning(piece));
  const write = style.text ?? ((content: string): object => ({ content }));
  for (const piece of halves(text)) deltas.push(write(piece));
  for (const [index, { name, input }] of calls.entries()) {
    const whole = { name, arguments: JSON.stringify(input) };
    const [start = '', rest = ''] = halves(whole.arguments);
    const extra = style.extra?.(whole, index);
    const begin = { index, id: style.id(nextCall()), type: 'function', function: { name, arguments: start } };
    deltas.push({ tool_calls: [{ ...begin, ...extra }] }, { tool_calls: [{ index, function: { arguments: rest } }] });
  }
  const finish = calls.length > 0 ? 'tool_calls' : 'stop';
  return [
    ...(style.first ?? []),
    ...deltas.map((delta) => chunk([{ index: 0, delta, finish_reason: null }])),
    chunk([{ index: 0, delta: {}, finish_reason: finish }]),
    ...(usage === null ? [] : [{ ...chunk([]), usage }]),
  ];
}

function chunk(choices: object[]): object {
  return { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm', choices };
}

/** Splits a text into two pieces, as a stream would. */
export function halves(text: string): string[] {
  const half = Math.ceil(text.length / 2);
  return [text.slice(0, half), text.slice(half)].filter((piece) => piece !== '');
}
