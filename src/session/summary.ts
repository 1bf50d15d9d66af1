import { TextDecoder } from 'node:util';
import { z } from 'zod';
import { CofferError } from '../errors.ts';
import type { Parent, Status } from './event.ts';
import type { State } from './state.ts';

/** What a list needs of a session or snapshot; sealed in front of every frame's body. */
export interface Summary {
  readonly kind: 'session' | 'snapshot';
  /** `YYYY-MM-DD_HH-mm`, `_name`, `-2`. */
  readonly id: string;
  readonly uuid: string;
  readonly name?: string | undefined;
  readonly title?: string | undefined;
  readonly begun: number;
  readonly updated: number;
  readonly directory: string;
  readonly branch?: string | undefined;
  readonly model: string;
  readonly messages: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cost: number | null;
  readonly status: Status;
  readonly parent?: Parent | undefined;
  readonly firstEvent: number;
  readonly lastEvent: number;
}

/** How many bytes of a path or model name go into a summary, which has to fit a frame's first chunk. */
const TEXT_LIMIT = 2048;

/** Derives a summary from a state. */
export function summarize(state: State, of: Pick<Summary, 'kind' | 'id' | 'uuid' | 'name'>): Summary {
  return {
    ...of,
    title: state.title,
    begun: state.begun,
    updated: state.updated,
    directory: clip(state.directory),
    branch: state.branch === undefined ? undefined : clip(state.branch),
    model: clip(state.model),
    messages: state.messageCount,
    inputTokens: state.inputTokens,
    outputTokens: state.outputTokens,
    cost: state.cost,
    status: state.status,
    parent: state.parent,
    firstEvent: state.firstEvent,
    lastEvent: state.lastEvent,
  };
}

/** Writes a summary as the JSON that is sealed. */
export function encodeSummary(summary: Summary): Buffer {
  return Buffer.from(JSON.stringify(summary));
}

/** Reads a summary back. Throws `UNAUTHENTIC` where it is not one. */
export function decodeSummary(json: Uint8Array): Summary {
  try {
    return summarySchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json)));
  } catch (cause) {
    throw new CofferError('UNAUTHENTIC', 'the summary is not one coffer writes', { cause });
  }
}

function clip(text: string): string {
  let clipped = text.slice(0, TEXT_LIMIT);
  while (Buffer.byteLength(clipped) > TEXT_LIMIT) clipped = clipped.slice(0, -1);
  return clipped;
}

const count = z.number().int().nonnegative();
const known = z.number().nonnegative().nullable();

const summarySchema = z.looseObject({
  kind: z.enum(['session', 'snapshot']),
  id: z.string(),
  uuid: z.string(),
  name: z.string().optional(),
  title: z.string().optional(),
  begun: count,
  updated: count,
  directory: z.string(),
  branch: z.string().optional(),
  model: z.string(),
  messages: count,
  inputTokens: known,
  outputTokens: known,
  cost: known,
  status: z.enum(['running', 'completed', 'cancelled', 'failed']),
  parent: z.looseObject({ uuid: z.string(), id: z.string(), reason: z.string() }).optional(),
  firstEvent: count,
  lastEvent: count,
});
