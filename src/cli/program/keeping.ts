import type { Describe } from './describe.ts';

/** Names, marks, deletes and prunes sessions. */
export const describeKeeping: Describe = (_program, _given) => undefined;
