import type { Patience } from '../../src/keyring/patience.ts';

/** After so many milliseconds a program under test counts as hanging: none of them takes that long, however busy the machine is. */
export const HANGS = 300_000;

/** A prompt that nobody answers stays open so long, in milliseconds: on a busy machine it takes seconds until it is shown. */
export const PROMPT = 5_000;

/** No prompt can be answered, and a slow machine is no reason to fail: for tests of everything but time limits. */
export const ROOMY: Patience = { mayPrompt: false, silence: HANGS, prompt: HANGS };

/** A prompt could be answered. */
export const ROOMY_ATTENDED: Patience = { ...ROOMY, mayPrompt: true };
