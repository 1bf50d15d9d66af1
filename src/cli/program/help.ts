import type { Describe } from './describe.ts';

/** Completes command lines in a shell. */
export const describeHelp: Describe = (_program, _given) => undefined;
