import type { Describe } from './describe.ts';

/** Changes what a conversation goes on from. */
export const describeContext: Describe = (_program, _given) => undefined;
