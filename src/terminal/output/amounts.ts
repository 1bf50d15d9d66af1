import type { Used } from '../../session/list/usage.ts';

/**
 * Describes the tokens of requests: `1,234 in, 56 out`, `unknown`, `1,234 in, 56 out and 2 requests
 * unknown`.
 */
export function describeTokens(used: Used): string {
  const { requests, inputTokens, cachedTokens, outputTokens, unknownTokens } = used;
  if (requests === 0) return 'none';
  if (inputTokens === null && outputTokens === null) return 'unknown';
  const cached = cachedTokens === null ? '' : ` (${describeCount(cachedTokens)} cached)`;
  return withUnknown(`${describeCount(inputTokens)} in${cached}, ${describeCount(outputTokens)} out`, unknownTokens);
}

/**
 * Describes the cost of requests: `$0.0123`, `unknown`, `$0.0123 and 2 requests unknown`. An
 * unknown cost is never shown as 0.
 */
export function describeCost({ requests, cost, unknownCost }: Used): string {
  if (requests === 0) return 'none';
  return cost === null ? 'unknown' : withUnknown(describeDollars(cost), unknownCost);
}

function withUnknown(amount: string, unknown: number): string {
  if (unknown === 0) return amount;
  return `${amount} and ${unknown === 1 ? '1 request' : `${unknown} requests`} unknown`;
}

/** Formats a count: `1,234`, or `unknown` for null. */
export function describeCount(count: number | null): string {
  return count === null ? 'unknown' : count.toLocaleString('en-US');
}

/** Formats an amount: two decimals from one dollar up and for 0, else four. */
function describeDollars(cost: number): string {
  if (cost === 0 || cost >= 1) return `$${cost.toFixed(2)}`;
  if (cost < 0.0001) return 'less than $0.0001';
  return `$${cost.toFixed(4)}`;
}

/** Formats a size: `12.3 KB`, in powers of 1000. */
export function describeBytes(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];
  let amount = bytes;
  let unit = 0;
  for (; amount >= 999.95 && unit < units.length - 1; unit++) amount /= 1000;
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`;
}
