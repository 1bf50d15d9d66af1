import type { NewEvent } from './event/event.ts';
import type { Permission, State } from './state.ts';

/** Returns the events that change the rules of a session from `before` to `wanted`. */
export function permissionChanges(before: State['permissions'], wanted: State['permissions']): NewEvent[] {
  const gone = before.filter((one) => !wanted.some((other) => isSamePlace(one, other)));
  const fresh = wanted.filter((one) => !isDecided(before, one));
  return [
    ...gone.map(({ rule, directory }): NewEvent => ({ type: 'permission', rule, decision: 'revoke', directory })),
    ...fresh.map(permissionEvent),
  ];
}

/** Tells whether the rules include `wanted`. */
export function isDecided(permissions: State['permissions'], wanted: Permission): boolean {
  return permissions.some((one) => isSame(one, wanted));
}

/** Returns the event that records a rule. */
export function permissionEvent({ rule, decision, directory, unsandboxed }: Permission): NewEvent {
  return { type: 'permission', rule, decision, directory, unsandboxed: unsandboxed || undefined };
}

/** Returns only the denials: a session starts with these if its grants were given elsewhere. */
export function withoutGrants(permissions: State['permissions']): State['permissions'] {
  return permissions.filter(({ decision }) => decision === 'deny');
}

/**
 * Returns the events that revoke every grant in all directories: the event that recorded a grant's
 * directory may be lost.
 */
export function revocations(permissions: State['permissions']): NewEvent[] {
  const rules = new Set(permissions.filter(({ decision }) => decision === 'allow').map(({ rule }) => rule));
  return [...rules].map((rule) => ({ type: 'permission', rule, decision: 'revoke' }));
}

function isSamePlace(one: Permission, other: Permission): boolean {
  return one.rule === other.rule && one.directory === other.directory;
}

function isSame(one: Permission, other: Permission): boolean {
  return isSamePlace(one, other) && one.decision === other.decision && one.unsandboxed === other.unsandboxed;
}
