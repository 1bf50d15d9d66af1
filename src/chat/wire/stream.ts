import type { FromProvider, ProviderOptions } from '../../session/event/event.ts';
import type { ReplyPart } from '../reply.ts';
import type { ReasoningFields } from './reasoning.ts';
import type { StreamPart } from './sdk.ts';

/** A part of a block of text or reasoning. */
export type BlockPart = Extract<StreamPart, { type: `${'text' | 'reasoning'}-${'start' | 'delta' | 'end'}` }>;

/** Tells whether a part belongs to a block of text or reasoning. */
export function isOfBlock(part: StreamPart): part is BlockPart {
  return /^(text|reasoning)-(start|delta|end)$/.test(part.type);
}

/** The blocks of text and reasoning that a reply consists of, as they arrive. */
export class Blocks {
  #last: BlockPart['type'] | undefined;
  #begins = false;
  readonly #fields: ReasoningFields;

  constructor(fields: ReasoningFields) {
    this.#fields = fields;
  }

  *take(part: BlockPart): Generator<ReplyPart, void, undefined> {
    const type = part.type.startsWith('text') ? 'text' : 'reasoning';
    if (part.type.endsWith('-start')) this.#begins = this.#last?.startsWith(type) === true;
    const text = 'delta' in part ? part.delta : '';
    const kept = type === 'reasoning' && text !== '' ? this.#fields.options : undefined;
    const options = optionsOf(kept, part.providerMetadata);
    if (text === '' && options.providerOptions === undefined) return;
    yield { type, text, ...(this.#begins && { begins: true }), ...options };
    this.#begins = false;
    this.#last = part.type;
  }
}

/** A call as it was made; input that can't be recorded is replaced by words. */
export function callOf(part: Extract<StreamPart, { type: 'tool-call' }>): ReplyPart {
  const { toolCallId, toolName, providerMetadata } = part;
  const input = inputOf(part.input);
  return { type: 'tool-call', toolCallId, toolName, input: unfit(input) ?? input, ...optionsOf(providerMetadata) };
}

/** Reads the arguments of a call; many models send an empty text where there are none. */
function inputOf(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return text; // whoever runs the call tells the model
  }
}

/** What has to be sent back with a part, as its field; no field if there is nothing. */
export function optionsOf(...given: readonly (ProviderOptions | undefined)[]): FromProvider {
  const providerOptions = Object.assign({}, ...given);
  return Object.keys(providerOptions).length === 0 ? {} : { providerOptions };
}

/** How deep the input of a call may be nested: what writes it down recurses, and no tool wants more. */
const DEPTH = 64;

/** Says what keeps the input of a call, as JSON.parse made it, from being written down; undefined if nothing does. */
function unfit(input: unknown): string | undefined {
  let level = [input];
  for (let depth = 0; level.length > 0; depth++) {
    // JSON.parse makes Infinity of 1e999.
    if (level.some((value) => typeof value === 'number' && !Number.isFinite(value)))
      return 'input with too large a number';
    const nested = level.filter((value) => typeof value === 'object' && value !== null);
    if (nested.length > 0 && depth === DEPTH) return `input nested deeper than ${DEPTH} levels`;
    level = nested.flatMap((value): unknown[] => Object.values(value as object));
  }
  return undefined;
}
