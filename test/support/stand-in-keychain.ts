import type { BusMessage } from '../../native-fallback/dbus-wire.ts';
import { type Said, type StandIn, startStandIn } from './dbus-service.ts';
import type { Bus } from './keychain.ts';

/** Answers to calls, by member. */
export type Answers = Readonly<Record<string, (call: BusMessage) => Said>>;

const UNKNOWN = { error: 'org.freedesktop.DBus.Error.UnknownMethod' };

/**
 * Starts a stand-in Secret Service that both native-fallback and libsecret accept: unlocked, with
 * one item that returns no secret. `answers` overrides its answers by member.
 */
export function keychainThat(bus: Bus, answers: Answers): Promise<StandIn> {
  const usual: Answers = {
    ReadAlias: () => values('o', '/c'),
    SearchItems: () => values('aoao', ['/c/1'], []),
    Get: () => values('v', { signature: 'b', value: false }),
    OpenSession: ({ body }) =>
      body?.[0] === 'plain'
        ? values('vo', { signature: 's', value: '' }, '/session/1')
        : { error: 'org.freedesktop.DBus.Error.NotSupported' },
    GetAll: () => values('a{sv}', []),
    GetSecrets: () => values('a{o(oayays)}', []),
    CreateItem: () => values('oo', '/c/1', '/'),
    Delete: () => values('o', '/'),
    ...answers,
  };
  return startStandIn(bus.env, 'org.freedesktop.secrets', (call) => usual[call.member ?? '']?.(call) ?? UNKNOWN);
}

/** Returns an answer with an item's secret, in the session that the stand-in opens. */
export function secretOf(text: string, contentType: string): Said {
  return values('(oayays)', ['/session/1', Buffer.alloc(0), Buffer.from(text), contentType]);
}

/** Returns an answer with values. */
export function values(signature: string, ...body: unknown[]): Said {
  return { signature, body };
}
