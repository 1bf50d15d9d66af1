import { itemOf, type Looked, look } from '../fallback.ts';
import type { Refusal } from '../outcomes.ts';
import { patienceFor } from '../patience.ts';

/** The time that an early result is kept, in milliseconds. */
const KEPT = 5_000;

interface Early {
  readonly env: NodeJS.ProcessEnv;
  readonly keyId: string;
  readonly looked: Promise<Looked | Refusal>;
}

let early: Early | undefined;

/**
 * Starts looking up a key in the Secret Service before it is needed: the service answers while this
 * process is still loading the code that asks. Never prompts. An unused result is dropped.
 */
export function lookEarly(env: NodeJS.ProcessEnv, keyId: string): void {
  const looked = look({ env, ...patienceFor(env) }, itemOf(keyId));
  looked.catch(() => undefined); // the caller of takeLook gets the error
  const current: Early = { env, keyId, looked };
  early = current;
  setTimeout(() => {
    if (early === current) early = undefined;
  }, KEPT).unref();
}

/** Returns the early look-up, once, if it was for the same key in the same environment. */
export function takeLook(env: NodeJS.ProcessEnv, keyId: string): Promise<Looked | Refusal> | undefined {
  const found = early;
  early = undefined;
  return found?.env === env && found.keyId === keyId ? found.looked : undefined;
}
