import type { Permission } from '../session/state.ts';

/** Describes a rule of a session, and where it holds if that is not `here`. */
export function describePermission({ rule, decision, directory, unsandboxed }: Permission, here: string): string {
  if (decision === 'deny') return rule;
  const where = directory === here ? [] : [`in ${directory}`];
  const how = unsandboxed ? ['without a sandbox too'] : [];
  const limits = [...where, ...how];
  return limits.length === 0 ? rule : `${rule} (${limits.join(', ')})`;
}
