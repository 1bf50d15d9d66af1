import { fileURLToPath } from 'node:url';
import { BrokerProcess } from './broker-process.ts';

/** The broker beside this file: `broker.ts` in the sources, `broker.js` in a build. */
const BROKER = fileURLToPath(new URL(`./broker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

let early: { readonly broker: BrokerProcess; readonly env: NodeJS.ProcessEnv } | undefined;

/**
 * Starts a broker for a question that is about to come, so that it gets ready while this process still loads what asks.
 * Without a question it ends by itself. Several calls start one.
 */
export function startBrokerEarly(env: NodeJS.ProcessEnv): BrokerProcess {
  if (early) return early.broker;
  const broker = new BrokerProcess(BROKER, env);
  broker.rest();
  early = { broker, env };
  return broker;
}

/**
 * Gives a broker to ask: the one that was started early in the same environment if it still waits, else a new one. `script` is another
 * broker to start, for tests.
 */
export function startBroker(env: NodeJS.ProcessEnv, script?: string): BrokerProcess {
  if (script !== undefined) return new BrokerProcess(script, env);
  const waiting = early;
  early = undefined;
  if (waiting?.env === env && waiting.broker.claim()) return waiting.broker;
  waiting?.broker.kill();
  return new BrokerProcess(BROKER, env);
}
