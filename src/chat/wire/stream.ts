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

/** Converts the blocks of text and reasoning in a reply as they arrive. */
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

/** Returns a tool call; input that can't be recorded is replaced by an explanation. */
export function callOf(part: Extract<StreamPart, { type: 'tool-call' }>): ReplyPart {
  const { toolCallId, toolName, providerMetadata } = part;
  const input = inputOf(part.input);
  return {
    type: 'tool-call',
    toolCallId,
    toolName,
    input: whyUnrecordable(input) ?? input,
    ...optionsOf(providerMetadata),
  };
}

/** Parses the input of a call. Many models send an empty string if there is none. */
function inputOf(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return text; // whoever runs the call reports this to the model
  }
}

/** Returns the options to send back with a part, as its field; no field if there are none. */
export function optionsOf(...given: readonly (ProviderOptions | undefined)[]): FromProvider {
  const providerOptions = Object.assign({}, ...given);
  return Object.keys(providerOptions).length === 0 ? {} : { providerOptions };
}

/** Deepest nesting of a call's input: serialising it recurses, and no tool needs more. */
const MAX_DEPTH = 64;

/**
 * Explains why the input of a call, as parsed by JSON.parse, can't be serialised; undefined if it
 * can.
 */
function whyUnrecordable(input: unknown): string | undefined {
  let level = [input];
  for (let depth = 0; level.length > 0; depth++) {
    // JSON.parse turns 1e999 into Infinity.
    if (level.some((value) => typeof value === 'number' && !Number.isFinite(value)))
      return 'input with a number that is too large';
    const nested = level.filter((value) => typeof value === 'object' && value !== null);
    if (nested.length > 0 && depth === MAX_DEPTH) return `input nested deeper than ${MAX_DEPTH} levels`;
    level = nested.flatMap((value): unknown[] => Object.values(value as object));
  }
  return undefined;
}
