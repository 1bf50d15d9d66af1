import type { Permission } from '../session/state.ts';

/** Describes a rule of a session, with its directory unless that is `here`. */
export function describePermission({ rule, decision, directory, unsandboxed }: Permission, here: string): string {
  if (decision === 'deny') return rule;
  const where = directory === here ? [] : [`in ${directory}`];
  const how = unsandboxed ? ['also without a sandbox'] : [];
  const limits = [...where, ...how];
  return limits.length === 0 ? rule : `${rule} (${limits.join(', ')})`;
}
