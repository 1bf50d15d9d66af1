import { itemOf, type Looked, look } from './fallback.ts';
import type { Refusal } from './outcomes.ts';
import { patienceFor } from './patience.ts';

/** How long what was found waits to be asked for, in milliseconds. */
const KEPT = 5_000;

interface Early {
  readonly env: NodeJS.ProcessEnv;
  readonly keyId: string;
  readonly looked: Promise<Looked | Refusal>;
}

let early: Early | undefined;

/**
 * Looks for a key in the Secret Service, for a question that is about to come: the service answers while this process still loads what asks.
 * Never prompts. What nobody asks for is dropped.
 */
export function lookEarly(env: NodeJS.ProcessEnv, keyId: string): void {
  const looked = look({ env, ...patienceFor(env) }, itemOf(keyId));
  looked.catch(() => undefined); // whoever asks hears of it
  const begun: Early = { env, keyId, looked };
  early = begun;
  setTimeout(() => {
    if (early === begun) early = undefined;
  }, KEPT).unref();
}

/** Gives what was looked for early, once: of the same key, in the same environment. */
export function takeLook(env: NodeJS.ProcessEnv, keyId: string): Promise<Looked | Refusal> | undefined {
  const found = early;
  early = undefined;
  return found?.env === env && found.keyId === keyId ? found.looked : undefined;
}
