import type { Measure } from './part.ts';

/** The parts of a bench by name; each is loaded only by the process that runs it. */
export type Parts = Readonly<Record<string, () => Promise<Measure>>>;

/** The parts of the bench, in order. */
export const parts: Parts = {
  steps: async () => (await import('./steps.ts')).measureSteps,
  blocked: async () => (await import('./blocked.ts')).measureBlocked,
  disk: async () => (await import('./disk.ts')).measureDisk,
  resume: async () => (await import('./resume.ts')).measureResume,
  lists: async () => (await import('./list.ts')).measureLists,
  searches: async () => (await import('./search.ts')).measureSearches,
  turns: async () => (await import('./turns.ts')).measureTurns,
  starts: async () => (await import('./start.ts')).measureStarts,
  memory: async () => (await import('./memory.ts')).measureMemory,
};
