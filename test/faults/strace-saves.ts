import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus, Item } from '../support/keychain.ts';
import { type Answer, type Asked, Driver } from './driven.ts';
import type { Save } from './strace-kinds.ts';

/*
 * The vault before each kind of save, a copy of it for every case, and what the parent knows of it.
 */

/** A vault and its key, and the environment in which its processes find them. */
export interface Home {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * The parent's record of a vault: steps that were acknowledged, and steps that were tried and were
 * not.
 */
export class Ledger {
  readonly acknowledged: Set<string> = new Set<string>();
  readonly tried: Set<string> = new Set<string>();

  /**
   * Sends one request and records the outcome; undefined if the process ended before it answered.
   */
  async ask(driver: Driver, asked: Asked): Promise<Answer | undefined> {
    if (isStep(asked)) this.tried.add(asked.text!);
    const answer = await driver.ask(asked);
    if (answer?.ok && !answer.unsaved && isStep(asked)) {
      // A step is saved together with everything not saved before it.
      if (asked.do === 'record') for (const text of this.tried) this.acknowledged.add(text);
      else this.acknowledged.add(asked.text!);
    }
    return answer;
  }

  /**
   * Sends a request that is not under attack: on a busy machine the keychain may be too slow for it
   * a few times.
   */
  async insist(driver: Driver, asked: Asked): Promise<Answer> {
    let answer = await this.ask(driver, asked);
    for (let attempt = 1; attempt < TRIES && isLate(answer); attempt++) answer = await this.ask(driver, asked);
    if (!answer?.ok || answer.unsaved) throw new Error(`${JSON.stringify(asked)}: ${JSON.stringify(answer)}`);
    return answer;
  }

  copy(): Ledger {
    const copy = new Ledger();
    for (const text of this.acknowledged) copy.acknowledged.add(text);
    for (const text of this.tried) copy.tried.add(text);
    return copy;
  }
}

/**
 * The place where a worker's processes find the key: the environment, and for a keychain a separate
 * bus.
 */
export interface Place {
  readonly env: NodeJS.ProcessEnv;
  readonly bus?: Bus | undefined;
}

/** One case, with a driver stopped right before the save. */
export interface Case {
  readonly home: Home;
  readonly driver: Driver;
  readonly ledger: Ledger;
  /** The keychain's broker, if it was started separately. */
  readonly broker: number | undefined;
}

/** The vault before one kind of save, and a copy of it for each case. */
export class Prepared {
  readonly save: Save;
  readonly original: string;
  readonly #folder: string;
  readonly #ledger = new Ledger();
  #items: readonly Item[] = [];
  #cases = 0;

  private constructor(save: Save, folder: string) {
    this.save = save;
    this.original = join(folder, 'original');
    this.#folder = folder;
  }

  /** Makes the vault that exists before the save. */
  static async make(save: Save, folder: string, place: Place): Promise<Prepared> {
    mkdirSync(folder, { recursive: true });
    const prepared = new Prepared(save, folder);
    await clear(place);
    if (save.before.length > 0) {
      await using driver = await Driver.start({ ...place.env, COFFER_DATA_DIR: prepared.original });
      for (const asked of save.before) await prepared.#ledger.insist(driver, asked);
    }
    for (const text of save.damage?.(prepared.original) ?? []) {
      prepared.#ledger.acknowledged.delete(text);
      prepared.#ledger.tried.delete(text);
    }
    prepared.#items = (await place.bus?.items()) ?? [];
    return prepared;
  }

  /** Makes a case. `wrong` is added to the environment of the process under attack only. */
  async case(place: Place, wrong: NodeJS.ProcessEnv = {}): Promise<Case> {
    const directory = join(this.#folder, `case-${++this.#cases}`);
    if (this.save.before.length > 0) copyVault(this.original, directory);
    await clear(place);
    for (const { attributes, secret } of this.#items) await place.bus?.storeItem(attributes['account']!, secret!);
    const home: Home = { directory, env: { ...place.env, COFFER_DATA_DIR: directory } };
    const driver = await Driver.start({ ...home.env, ...wrong, UV_THREADPOOL_SIZE: '1' });
    const ledger = this.#ledger.copy();
    let broker: number | undefined;
    for (const asked of [{ do: 'wake' } as const, ...this.save.ready]) {
      broker = (await ledger.insist(driver, asked)).pid ?? broker;
    }
    return { home, driver, ledger, broker };
  }
}

/**
 * Copies a vault as a crash at this moment would leave it: with the links, the modes and the locks
 * that no process holds.
 */
export function copyVault(from: string, to: string): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
}

/** Makes a key in a credential file, and returns the environment in which a process finds it. */
export function credential(folder: string): NodeJS.ProcessEnv {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'coffer-key'), Buffer.alloc(32, 7), { mode: 0o600 });
  return { COFFER_KEYCHAIN: 'fd', CREDENTIALS_DIRECTORY: folder };
}

async function clear({ bus }: Place): Promise<void> {
  if (bus && (await bus.items()).length > 0) await bus.deleteItem();
}

function isStep({ do: verb }: Asked): boolean {
  return verb === 'step' || verb === 'record';
}

/** Returns whether the keychain did not answer in time. */
export function isLate(answer: Answer | undefined): boolean {
  return answer?.error?.code === 'KEY_TIMEOUT';
}

/** Number of times a late keychain is asked. */
export const TRIES = 5;
