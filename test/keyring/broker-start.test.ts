import { describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerProcess } from '../../src/keyring/broker/broker-process.ts';
import { startBroker, startBrokerEarly } from '../../src/keyring/broker/broker-start.ts';

describe('a broker that was started early', () => {
  it('serves the first request, and a new one serves the next', () => {
    const env = { PATH: process.env['PATH'] };
    const early = ended(startBrokerEarly(env));
    expect(startBrokerEarly(env)).toBe(early);
    expect(ended(startBroker(env))).toBe(early);
    expect(ended(startBroker(env))).not.toBe(early);
  });

  it('is killed if the request needs another environment', () => {
    const early = ended(startBrokerEarly({ PATH: process.env['PATH'] }));
    const other = ended(startBroker({ PATH: process.env['PATH'] }));
    expect(other).not.toBe(early);
    expect([early.isAlive, other.isAlive]).toEqual([false, true]);
  });

  it('is not used if it has exited meanwhile', () => {
    const env = { PATH: process.env['PATH'] };
    startBrokerEarly(env).kill();
    expect(ended(startBroker(env)).isAlive).toBe(true);
  });
});

function ended(broker: BrokerProcess): BrokerProcess {
  onTestFinished(() => broker.kill());
  return broker;
}
