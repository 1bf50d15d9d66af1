import type { Describe } from './describe.ts';

/** Shows what a session is, what it did, and what all of them took. */
export const describeSeeing: Describe = (_program, _given) => undefined;
