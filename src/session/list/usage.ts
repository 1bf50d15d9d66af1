import { type Event, isKnown, type KnownEvent, type Usage } from '../event/event.ts';

/**
 * Total usage of requests to a model. Sums include known values; null if none is known, never 0.
 */
export interface Used {
  readonly requests: number;
  readonly inputTokens: number | null;
  /** Input tokens read from the provider's cache. */
  readonly cachedTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars. */
  readonly cost: number | null;
  /** Number of requests with unknown tokens. */
  readonly unknownTokens: number;
  /** Number of requests with unknown cost. */
  readonly unknownCost: number;
}

/** Usage of no requests. */
export const unused: Used = {
  requests: 0,
  inputTokens: null,
  cachedTokens: null,
  outputTokens: null,
  cost: null,
  unknownTokens: 0,
  unknownCost: 0,
};

/** Adds the usage of one request. */
export function addUsage(used: Used, { inputTokens, cachedTokens, outputTokens, cost }: Usage): Used {
  return {
    requests: used.requests + 1,
    inputTokens: add(used.inputTokens, inputTokens),
    cachedTokens: add(used.cachedTokens, cachedTokens ?? null),
    outputTokens: add(used.outputTokens, outputTokens),
    cost: add(used.cost, cost),
    unknownTokens: used.unknownTokens + Number(inputTokens === null || outputTokens === null),
    unknownCost: used.unknownCost + Number(cost === null),
  };
}

/** Adds two totals. */
export function addUsed(before: Used, more: Used): Used {
  return {
    requests: before.requests + more.requests,
    inputTokens: add(before.inputTokens, more.inputTokens),
    cachedTokens: add(before.cachedTokens, more.cachedTokens),
    outputTokens: add(before.outputTokens, more.outputTokens),
    cost: add(before.cost, more.cost),
    unknownTokens: before.unknownTokens + more.unknownTokens,
    unknownCost: before.unknownCost + more.unknownCost,
  };
}

/** Sums the usage in events by model. */
export function usedByModel(events: Iterable<Event>): Map<string, Used> {
  const models = new Map<string, Used>();
  for (const event of events) {
    if (!isKnown(event) || event.type !== 'usage') continue;
    models.set(event.model, addUsage(models.get(event.model) ?? unused, event.usage));
  }
  return models;
}

/** Returns the session's own known events: those before its last `begin` are the parent's. */
export function ownPart(events: readonly Event[]): KnownEvent[] {
  const begun = events.findLastIndex((event) => isKnown(event) && event.type === 'begin');
  return events.slice(Math.max(0, begun)).filter(isKnown);
}

function add(sum: number | null, more: number | null): number | null {
  return more === null ? sum : (sum ?? 0) + more;
}
