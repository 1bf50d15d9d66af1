import { type Event, isKnown, type KnownEvent, type Usage } from '../event/event.ts';

/** What requests to a model took. Sums are of what is known; null is "nothing of it is known", never 0. */
export interface Used {
  readonly requests: number;
  readonly inputTokens: number | null;
  /** Input tokens that came from the provider's cache. */
  readonly cachedTokens: number | null;
  readonly outputTokens: number | null;
  /** US dollars. */
  readonly cost: number | null;
  /** Of how many requests the tokens are not known, and the cost. */
  readonly unknownTokens: number;
  readonly unknownCost: number;
}

/** Nothing used yet. */
export const unused: Used = {
  requests: 0,
  inputTokens: null,
  cachedTokens: null,
  outputTokens: null,
  cost: null,
  unknownTokens: 0,
  unknownCost: 0,
};

/** Adds one request to what was used. */
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

/** Adds what was used to what was used before. */
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

/** Sums up by model what events say was used. */
export function usedByModel(events: Iterable<Event>): Map<string, Used> {
  const models = new Map<string, Used>();
  for (const event of events) {
    if (!isKnown(event) || event.type !== 'usage') continue;
    models.set(event.model, addUsage(models.get(event.model) ?? unused, event.usage));
  }
  return models;
}

/** The events of a session itself: what stands before its `begin` is a copy of what another one did. */
export function ownPart(events: readonly Event[]): KnownEvent[] {
  const begun = events.findLastIndex((event) => isKnown(event) && event.type === 'begin');
  return events.slice(Math.max(0, begun)).filter(isKnown);
}

function add(sum: number | null, more: number | null): number | null {
  return more === null ? sum : (sum ?? 0) + more;
}
