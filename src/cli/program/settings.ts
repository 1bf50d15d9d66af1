import type { Describe } from './describe.ts';

/** Shows and changes the settings. */
export const describeSettings: Describe = (_program, _given) => undefined;
