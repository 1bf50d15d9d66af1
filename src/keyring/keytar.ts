import type { BrokerOutcome, BrokerProcess, BrokerRequest } from './broker/broker-process.ts';
import { takeLook } from './broker/early.ts';
import {
  DISMISSED,
  inspect,
  itemOf,
  LOCKED,
  type Looked,
  look,
  NOT_FOUND,
  probeAnswer,
  providerName,
  readRefusal,
  type ServiceState,
  UNANSWERED,
  writeRefusal,
} from './fallback.ts';
import {
  type Answer,
  decodeSecret,
  encodeSecret,
  type Keyring,
  type LookUp,
  type Refusal,
  requireKeyId,
} from './outcomes.ts';
import type { Patience } from './patience.ts';

/** Options of a {@link KeytarKeyring}. */
export interface KeytarOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly patience: Patience;
  /** Called when an unlock prompt is about to be shown. Only on Linux; other systems don't tell. */
  readonly onPrompt?: (() => void) | undefined;
  /**
   * Uses only the addon, even if the item could be read without it. For users who forced keytar.
   */
  readonly alone?: boolean;
  /** The broker's script, for tests. */
  readonly broker?: string;
  readonly platform?: NodeJS.Platform;
  /** Called with each broker that is started, for tests. */
  readonly onBroker?: (broker: BrokerProcess) => void;
}

/**
 * The system's keychain through keytar, in a broker child process that can be killed. On Linux the
 * state of the Secret Service is checked first: keytar returns the same null for an item that is
 * missing, one that is locked and one whose prompt was dismissed. An existing, unlocked item is
 * read over the same connection without a broker: measured on Linux, 8 ms instead of 49.
 */
export class KeytarKeyring implements Keyring {
  readonly backend = 'keytar';
  readonly #options: KeytarOptions;
  readonly #platform: NodeJS.Platform;
  #broker: BrokerProcess | undefined;

  constructor(options: KeytarOptions) {
    this.#options = options;
    this.#platform = options.platform ?? process.platform;
  }

  /**
   * Checks the state, and whether the addon loads. A broker that has loaded it is kept for the next
   * call.
   */
  async probe(): Promise<Answer> {
    const [broker, state] = await Promise.all([this.#take(), this.#inspect('')]);
    const answer = state === undefined ? ADDON_READY : 'outcome' in state ? state : probeAnswer(state);
    const isReached = state === undefined || !('outcome' in state);
    const failure = isReached ? refusalOf(await broker.ready(this.#options.patience.silence)) : undefined;
    if (answer.outcome === 'READY' && !failure) this.#keep(broker);
    else broker.kill();
    return failure ?? answer;
  }

  async provider(): Promise<string> {
    if (this.#platform === 'linux') return providerName(this.#terms());
    return this.#platform === 'darwin' ? 'macOS Keychain' : 'Windows Credential Manager';
  }

  async get(keyId: string): Promise<LookUp> {
    requireKeyId(keyId);
    const looked = await this.#look(keyId);
    if (looked !== undefined && 'outcome' in looked) return looked;
    if (looked?.text !== undefined) return decodeSecret({ outcome: 'READY', text: looked.text });
    const request = { operation: 'get', ...itemOf(keyId), secret: '' } as const;
    const asked = await this.#askBroker(request, { state: looked?.state, refusalIn: readRefusal });
    if (!('value' in asked)) return asked;
    if (asked.value !== null) return decodeSecret({ outcome: 'READY', text: asked.value });
    return this.#explainNull(keyId);
  }

  async set(keyId: string, secret: Uint8Array): Promise<Answer> {
    requireKeyId(keyId);
    const asked = await this.#ask(keyId, 'set', writeRefusal, encodeSecret(secret));
    if (!('value' in asked)) return asked;
    if (asked.value === 'true') return { outcome: 'READY', detail: 'stored in the keychain' };
    if (asked.value !== null) return NOT_TAKEN;
    const why = await this.#explainNull(keyId);
    return why.outcome === 'NOT_FOUND' ? NOT_TAKEN : why;
  }

  async delete(keyId: string): Promise<Answer> {
    requireKeyId(keyId);
    const asked = await this.#ask(keyId, 'delete', readRefusal);
    if (!('value' in asked)) return asked;
    return asked.value === 'true' ? { outcome: 'READY', detail: 'deleted' } : this.#explainNull(keyId);
  }

  /** Checks the state while the broker starts, then sends the request. */
  async #ask(
    keyId: string,
    operation: 'set' | 'delete',
    refusalIn: RefusalIn,
    secret = '',
  ): Promise<{ value: string | null } | Refusal> {
    const [broker, state] = await Promise.all([this.#take(), this.#inspect(keyId)]);
    if (state !== undefined && 'outcome' in state) {
      broker.kill();
      return state;
    }
    const request = { operation, ...itemOf(keyId), secret };
    return this.#askBroker(request, { state, refusalIn }, broker);
  }

  /** Sends a request to the broker, unless the state already settles it. */
  async #askBroker(
    request: BrokerRequest,
    { state, refusalIn }: { state: ServiceState | undefined; refusalIn: RefusalIn },
    started?: BrokerProcess,
  ): Promise<{ value: string | null } | Refusal> {
    const { mayPrompt, silence, prompt } = this.#options.patience;
    const refusal = state && refusalIn(state, mayPrompt);
    if (refusal) {
      started?.kill();
      return refusal;
    }
    const broker = started ?? (await this.#take());
    const prompts = state !== undefined && isShut(state);
    if (prompts) this.#options.onPrompt?.();
    const reply = await broker.ask(request, { ready: silence, answer: prompts ? prompt : silence });
    if ('value' in reply) return reply;
    if ('late' in reply && prompts) return UNANSWERED;
    return refusalOf(reply) ?? (await this.#explainError(request.account, 'error' in reply ? reply.error : ''));
  }

  /** Explains why keytar returned nothing: only the state can tell. */
  async #explainNull(keyId: string): Promise<Refusal> {
    const state = await this.#inspect(keyId);
    if (state === undefined) return NOT_FOUND;
    if ('outcome' in state) return state;
    return unlockRefusal(state, this.#options.patience.mayPrompt) ?? (state.open.length > 0 ? NO_TEXT : NOT_FOUND);
  }

  async #explainError(keyId: string, message: string): Promise<Refusal> {
    const state = await this.#inspect(keyId);
    if (state === undefined) return errorAnswer(message);
    if ('outcome' in state) return state;
    return unlockRefusal(state, this.#options.patience.mayPrompt) ?? errorAnswer(message);
  }

  /**
   * Returns the state on Linux; undefined elsewhere, as keytar's own answers are distinct there.
   */
  async #inspect(keyId: string): Promise<ServiceState | Refusal | undefined> {
    return this.#platform === 'linux' ? inspect(this.#terms(), itemOf(keyId)) : undefined;
  }

  /** Like `#inspect`, plus the text of an item that exists and is unlocked. */
  async #look(keyId: string): Promise<Looked | Refusal | undefined> {
    if (this.#platform !== 'linux') return undefined;
    if (this.#options.alone) {
      const state = await this.#inspect(keyId);
      return state === undefined || 'outcome' in state ? state : { state };
    }
    return takeLook(this.#options.env, keyId) ?? look(this.#terms(), itemOf(keyId));
  }

  #terms(): Patience & Pick<KeytarOptions, 'env'> {
    return { env: this.#options.env, ...this.#options.patience };
  }

  async #take(): Promise<BrokerProcess> {
    const waiting = this.#broker;
    this.#broker = undefined;
    return waiting?.claim() ? waiting : this.#start();
  }

  #keep(broker: BrokerProcess): void {
    this.#broker?.kill();
    this.#broker = broker;
    broker.rest();
  }

  async #start(): Promise<BrokerProcess> {
    const { broker: script, env } = this.#options;
    const { startBroker } = await import('./broker/broker-start.ts');
    const broker = startBroker(env, script);
    this.#options.onBroker?.(broker);
    return broker;
  }
}

/** Returns the refusal that a state implies, if any; then no broker is needed. */
type RefusalIn = (state: ServiceState, mayPrompt: boolean) => Refusal | undefined;

/**
 * Returns the refusal for a broker that returned no value. Undefined for a value, and for an error,
 * which only the state explains. Pure.
 */
export function refusalOf(reply: BrokerOutcome): Refusal | undefined {
  if ('absent' in reply) return { outcome: 'ABSENT', detail: 'the keytar addon cannot be loaded' };
  if ('late' in reply) return { outcome: 'TIMEOUT', detail: 'the keychain does not answer' };
  if ('died' in reply) return { outcome: 'ABSENT', detail: `the keychain broker is not running: ${reply.died}` };
  return undefined;
}

/**
 * Classifies an error of the addon by its text: errSecInteractionNotAllowed, errSecAuthFailed and
 * errSecUserCanceled of macOS, and the messages of libsecret and GDBus. Pure.
 */
export function errorAnswer(message: string): Refusal {
  const [outcome, what] = ERRORS.find(([pattern]) => pattern.test(message))?.[1] ?? [
    'DECLINED',
    'the keychain refused',
  ];
  // Control characters of a foreign message must not get into ours.
  const reason = message
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 200)
    .trim();
  return { outcome, detail: `${what}: ${reason}` };
}

const ERRORS: readonly [RegExp, readonly [Refusal['outcome'], string]][] = [
  [/interaction is not allowed|locked/i, ['LOCKED', 'the keychain is locked']],
  [/cancell?ed|dismissed/i, ['DECLINED', 'the prompt was dismissed']],
  [/timed? ?out|timeout/i, ['TIMEOUT', 'the keychain does not answer']],
  [/no such (collection|object)|cannot autolaunch|could not connect|not provided by any/i, ['ABSENT', 'no keychain']],
];

/** Still locked after the addon tried: the prompt was dismissed, or no user could see it. */
function unlockRefusal(state: ServiceState, mayPrompt: boolean): Refusal | undefined {
  if (!isShut(state)) return undefined;
  return mayPrompt ? DISMISSED : LOCKED;
}

function isShut(state: ServiceState): boolean {
  return state.open.length === 0 && (state.shut.length > 0 || state.isLocked);
}

const ADDON_READY: Answer = { outcome: 'READY', detail: 'the keytar addon is loaded' };
const NO_TEXT: Refusal = { outcome: 'MISMATCH', detail: 'the item is not text' };
const NOT_TAKEN: Refusal = { outcome: 'DECLINED', detail: 'the keychain accepted the key but does not return it' };
