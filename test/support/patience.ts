import type { Patience } from '../../src/keyring/patience.ts';

/**
 * Milliseconds after which a program under test counts as hanging: none takes that long, however
 * busy the machine is.
 */
export const HANGS = 300_000;

/**
 * Milliseconds that an unanswered prompt stays open: on a busy machine it takes seconds until it is
 * shown.
 */
export const PROMPT = 5_000;

/**
 * No prompt can be answered, and a slow machine must not fail a test: for tests of everything
 * except time limits.
 */
export const ROOMY: Patience = { mayPrompt: false, silence: HANGS, prompt: HANGS };

/** Like {@link ROOMY}, but prompts may be shown. */
export const ROOMY_ATTENDED: Patience = { ...ROOMY, mayPrompt: true };
