import type { VaultKey } from '../../../envelope/key.ts';
import { hasRecordMac, isSuccessor, recordMac, sealSuccessor } from '../../../envelope/record.ts';
import type { Successor, VaultFile } from './shape.ts';

/** Maximum number of certificates of past rotations in a record; the newest are kept. */
const MAX_SUCCESSORS = 64;

/**
 * Returns the record with the next counter and its MAC under `key`, which must be the key it names.
 */
export function authenticated(file: VaultFile, key: VaultKey, least: number = 0): AuthenticatedFile {
  const counter = Math.max(file.counter ?? 0, least) + 1;
  const content = { ...file, counter };
  return { ...content, mac: recordMac(key, canonical(content)).toString('hex') };
}

/** A record with a counter and a MAC. */
export type AuthenticatedFile = VaultFile & Required<Pick<VaultFile, 'counter' | 'mac'>>;

/** Tells whether the MAC of a record, which covers every other field, verifies under `key`. */
export function hasRightMac(file: VaultFile, key: VaultKey): boolean {
  return file.mac !== undefined && hasRecordMac(key, canonical(file), file.mac);
}

/** Returns the certificates of a record with one more: `retiring` is replaced by the key `to`. */
export function withSuccessor(file: VaultFile, retiring: VaultKey, to: string): Successor[] {
  const sealed = sealSuccessor(retiring, to).toString('base64');
  return [...(file.successors ?? []), { from: retiring.id, to, sealed }].slice(-MAX_SUCCESSORS);
}

/**
 * Tells whether the record has a valid certificate by which `retiring` is replaced by the key `to`.
 */
export function certifies(file: Pick<VaultFile, 'successors'>, retiring: VaultKey, to: string): boolean {
  return (file.successors ?? []).some(
    (one) => one.from === retiring.id && one.to === to && isSuccessor(retiring, to, Buffer.from(one.sealed, 'base64')),
  );
}

/**
 * Follows certificates from the key `from` to the key `to`, through keys that `find` can get: each
 * certificate opens only under the key that it replaces.
 */
export async function leadsTo(
  file: Pick<VaultFile, 'successors'>,
  from: string,
  to: string,
  find: (keyId: string) => Promise<VaultKey | undefined>,
): Promise<boolean> {
  const reached = new Set([from]);
  for (const keyId of reached) {
    const next = (file.successors ?? []).filter((one) => one.from === keyId && !reached.has(one.to));
    const key = next.length === 0 ? undefined : await find(keyId);
    for (const one of next) if (key && certifies({ successors: [one] }, key, one.to)) reached.add(one.to);
    if (reached.has(to)) return true;
  }
  return reached.has(to);
}

/** Returns all fields but the MAC as JSON: keys sorted at each level, no spaces. */
function canonical(file: object): string {
  const { mac: _, ...others } = file as { mac?: unknown };
  return canonicalJson(others);
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`);
  return `{${fields.join(',')}}`;
}
