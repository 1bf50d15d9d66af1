import type { Patience } from '../../src/keyring/patience.ts';

/** Nobody answers a prompt, and a slow machine is no reason to fail: for tests of everything but deadlines. */
export const ROOMY: Patience = { mayPrompt: false, state: 15_000, whole: 25_000 };

/** Somebody could answer a prompt. */
export const ROOMY_ATTENDED: Patience = { ...ROOMY, mayPrompt: true };
