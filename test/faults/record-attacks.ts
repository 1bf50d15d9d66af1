import { VaultKey } from '../../src/envelope/key.ts';
import { authenticated, withSuccessor } from '../../src/vault/keys/record/record.ts';
import type { VaultFile } from '../../src/vault/keys/record/shape.ts';
import type { Json, Scene } from './record-scene.ts';

/** An attack on a vault.json. */
export interface RecordAttack {
  readonly what: string;
  /** The content of vault.json under attack; undefined if it is gone. */
  readonly json: Json | undefined;
}

/**
 * Returns the attacks: each field of vault.json changed, removed, exchanged and put back, then the
 * whole of it, and forgeries.
 */
export function recordAttacks(scene: Scene): RecordAttack[] {
  const { record, other, beforeRotation, beforeRemoval } = scene;
  const attacks: RecordAttack[] = [];
  for (const field of FIELDS) {
    for (const [index, value] of changed(scene, field).entries())
      attacks.push({ what: `${field} changed (${index})`, json: { ...record, [field]: value } });
    attacks.push({ what: `${field} removed`, json: put(record, field, undefined) });
    attacks.push({ what: `${field} of another vault`, json: put(record, field, other[field]) });
    attacks.push({ what: `${field} from before a rotation`, json: put(record, field, beforeRotation[field]) });
    attacks.push({ what: `${field} from before a slot was removed`, json: put(record, field, beforeRemoval[field]) });
  }
  attacks.push(
    { what: 'all of it removed', json: undefined },
    { what: 'all of it of another vault', json: other },
    { what: 'all of it from before a rotation', json: beforeRotation },
    { what: 'all of it from before a slot was removed', json: beforeRemoval },
    { what: 'all of it from before there was a MAC', json: without(record, 'mac', 'counter', 'successors') },
    ...written(scene),
  );
  return attacks.filter(({ json }) => json === undefined || JSON.stringify(json) !== JSON.stringify(record));
}

/**
 * Returns the forgeries of an attacker who knows a key and wants to read the vault's sessions, or
 * to destroy another vault's key.
 */
function written({ record, other, attacker }: Scene): RecordAttack[] {
  const file = record as unknown as VaultFile;
  const real = file.key;
  const forged = { from: real, to: attacker.id, sealed: withSuccessor(file, attacker, attacker.id).at(-1)!.sealed };
  const ordered = { ...file, key: attacker.id, retiring: real, slots: [], retiringSlots: file.slots, counter: 99 };
  const seal = (json: VaultFile): Json => authenticated(json, attacker) as unknown as Json;
  const plain = (json: object): Json => without(json as Json, 'mac', 'counter', 'successors');
  return [
    { what: "retiring is another vault's key", json: { ...record, retiring: other['key'] } },
    { what: "retiring is another vault's key, without a MAC", json: plain({ ...record, retiring: other['key'] }) },
    { what: 'a reseal is ordered', json: { ...record, key: attacker.id, retiring: real } },
    { what: 'a reseal is ordered, without a MAC', json: plain(ordered) },
    { what: "a reseal is ordered under the attacker's MAC", json: seal(ordered) },
    {
      what: "a reseal is ordered under the attacker's MAC, with a forged certificate",
      json: seal({ ...ordered, successors: [...(file.successors ?? []), forged] }),
    },
    { what: "the attacker's key alone", json: seal({ ...file, key: attacker.id, retiring: undefined, slots: [] }) },
  ];
}

function changed({ record }: Scene, field: string): unknown[] {
  const slots = record['slots'] as Json[];
  const [slot] = slots;
  const values: Record<string, unknown[]> = {
    format: [0, 2, '1'],
    key: [VaultKey.generate().id, 'x', 1],
    retiring: [VaultKey.generate().id, 'x'],
    retiringSlots: [[slot], 'x'],
    backend: ['passphrase', 'keytar', 'dpapi', 'x'],
    provider: ['somebody else', 1],
    slots: [[], [...slots, slot], [{ ...slot, salt: 'AAAA' }], [null], 'x'],
    successors: [[], [{ from: record['key'], to: VaultKey.generate().id, sealed: 'AAAA' }], 'x'],
    counter: [1, Number(record['counter']) + 1, Number.MAX_SAFE_INTEGER, -1, 'x'],
    mac: ['0'.repeat(64), String(record['mac']).replace(/^./, (digit) => (digit === '0' ? '1' : '0')), 'x'],
    hint: ['a field that nobody knows'],
  };
  return values[field] ?? [];
}

function put(record: Json, field: string, value: unknown): Json {
  return value === undefined ? without(record, field) : { ...record, [field]: value };
}

function without(record: Json, ...fields: readonly string[]): Json {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !fields.includes(name)));
}

const FIELDS = [
  'format',
  'key',
  'retiring',
  'retiringSlots',
  'backend',
  'provider',
  'slots',
  'successors',
  'counter',
  'mac',
  'hint',
] as const;
