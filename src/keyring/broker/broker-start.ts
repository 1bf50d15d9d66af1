import { fileURLToPath } from 'node:url';
import { BrokerProcess } from './broker-process.ts';

/** The broker's script: `broker.ts` in the sources, `broker.js` in a build. */
const BROKER = fileURLToPath(new URL(`./broker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

let early: { readonly broker: BrokerProcess; readonly env: NodeJS.ProcessEnv } | undefined;

/**
 * Starts a broker for an expected request, so that it gets ready while this process is still
 * loading the code that sends it. Exits automatically if no request comes. Repeated calls start
 * only one.
 */
export function startBrokerEarly(env: NodeJS.ProcessEnv): BrokerProcess {
  if (early) return early.broker;
  const broker = new BrokerProcess(BROKER, env);
  broker.rest();
  early = { broker, env };
  return broker;
}

/**
 * Returns a broker: the one that was started early in the same environment if it is still idle,
 * else a new one. `script` replaces the broker's script, for tests.
 */
export function startBroker(env: NodeJS.ProcessEnv, script?: string): BrokerProcess {
  if (script !== undefined) return new BrokerProcess(script, env);
  const waiting = early;
  early = undefined;
  if (waiting?.env === env && waiting.broker.claim()) return waiting.broker;
  waiting?.broker.kill();
  return new BrokerProcess(BROKER, env);
}
