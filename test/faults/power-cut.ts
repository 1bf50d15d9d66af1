import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startBus } from '../support/keychain.ts';
import { DEVICE_NEEDS, mountRam, RecordedDevice, Undo } from './block-device.ts';
import type { DeviceState, Recording } from './block-device-states.ts';
import type { Campaign, Control, Figures } from './campaign.ts';
import { History } from './power-cut-history.ts';
import { environment, type Key, loggedIn, makeCredentials, vaultOn } from './power-cut-home.ts';
import { Lane, type Tried } from './power-cut-lane.ts';
import { type Protocol, protocols } from './power-cut-protocols.ts';
import { type Shutdowns, shutdowns } from './power-cut-shutdown.ts';
import type { Sample } from './sample.ts';
import { wrongWay } from './wrong-saves.ts';
import { unflushed } from './wrong-writers.ts';

/** States of one protocol, and of one control. */
const STATES = 525;
const CONTROL_STATES = 200;
/** The short form tries one state in this many. */
const INTERVAL = 50;
/**
 * States of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 8;
const SEED = 3;
/** Number of failures of one protocol that are printed; the rest are counted. */
const TOLD = 5;

/**
 * The power fails at any moment of any save: a recorded block device, and any part of its unflushed
 * writes that may have arrived.
 */
export const campaign: Campaign = {
  name: 'power cut',
  needs: [...DEVICE_NEEDS, 'gnome-keyring-daemon', 'dbus-daemon', 'dbus-monitor', 'xfs_io', 'mkfs.xfs'],
  limits: { short: 240, whole: 2700 },
  run: async (folder, tell, sample) => {
    await using undo = new Undo();
    const ram = await mountRam(join(folder, 'ram'), undo);
    await using attack = await Attack.prepare(ram, undo, sample);
    const results: Result[] = [];
    for (const protocol of protocols) {
      tell(protocol.name);
      const result = await attack.on(protocol);
      results.push(result);
      tell(`${protocol.name}: ${result.states} states, ${result.lost} lost, ${result.faults.length} faults`);
    }
    const controls: Control[] = [];
    for (const { name, protocol, env } of WRONG) {
      const chosen = protocols.find((each) => each.name === protocol)!;
      tell(name);
      const { states, bad } = await attack.control(chosen, env);
      controls.push({ name, cases: states, caught: bad });
      tell(`${name}: caught in ${bad} of ${states} states`);
    }
    const reached = protocols.filter(({ keychain }) => !keychain).map(({ name }) => name);
    tell('shutdowns');
    const stopped = await shutdowns(join(ram, 'stopped'), attack.credentials, reached, { sample });
    tell(`shutdowns: ${stopped.cases} cases, ${stopped.lost} lost, ${stopped.faults.length} faults`);
    const unflushed = join(ram, 'unflushed');
    const caught = await shutdowns(unflushed, attack.credentials, ['overwrite'], { sample, wrong: NO_DIRECTORY });
    controls.push({ name: 'no fsync of the directory (shutdown)', cases: caught.cases, caught: caught.bad });
    return figuresOf(results, stopped, controls, sample.pick(400, 1));
  },
};

interface Wrong {
  readonly name: string;
  readonly protocol: Protocol['name'];
  /** Makes the driver do it. */
  readonly env: NodeJS.ProcessEnv;
}

const NO_DIRECTORY = unflushed('directories');

const WRONG: readonly Wrong[] = [
  { name: 'no fsync (overwrite)', protocol: 'overwrite', env: unflushed('everything') },
  { name: 'no fdatasync (append)', protocol: 'append', env: unflushed('files') },
  { name: "no fsync of the file (new session's link)", protocol: "new session's link", env: unflushed('files') },
  { name: 'no fsync of the directory (overwrite)', protocol: 'overwrite', env: NO_DIRECTORY },
  { name: 'write-file-atomic (overwrite)', protocol: 'overwrite', env: wrongWay('atomic-package') },
];

interface Result {
  readonly protocol: Protocol;
  readonly states: number;
  /** Number of states in which something was wrong. */
  readonly bad: number;
  readonly lost: number;
  readonly accepted: number;
  readonly torn: number;
  readonly faults: readonly string[];
  /** Flushes that reached the device during each of the protocol's own saves, as a median. */
  readonly flushes: number;
}

/** Two lanes, and the keys of the vaults under attack. */
class Attack implements AsyncDisposable {
  readonly #folder: string;
  readonly #lanes: readonly Lane[];
  readonly #sample: Sample;
  readonly credentials: Key;
  #devices = 0;

  private constructor(folder: string, lanes: readonly Lane[], sample: Sample) {
    this.#folder = folder;
    this.#lanes = lanes;
    this.#sample = sample;
    this.credentials = makeCredentials(join(folder, 'credentials'));
  }

  static async prepare(folder: string, undo: Undo, sample: Sample): Promise<Attack> {
    const lanes = [await Lane.open(join(folder, 'lane-1'), undo), await Lane.open(join(folder, 'lane-2'), undo)];
    return new Attack(folder, lanes, sample);
  }

  /** Drives a protocol on recorded devices and tries states of the recordings. */
  async on(protocol: Protocol): Promise<Result> {
    const tried: Tried[] = [];
    const flushes: number[] = [];
    const rounds = this.#sample.pick(protocol.rounds, 1);
    for (let round = 0; round < rounds; round++) {
      const { recording, history, from } = await this.#record(protocol);
      const states = recording.states(from, Math.ceil(STATES / rounds), SEED + round);
      for (const { what, asked, acknowledged } of history.saves) {
        const isOwn = asked >= from && what.startsWith(protocol.own);
        if (isOwn) flushes.push(recording.flushesBetween(asked, acknowledged));
      }
      tried.push(...(await this.#try([...this.#sample.of(states, INTERVAL)], recording, history, protocol)));
    }
    const sum = (of: (one: Tried) => number): number => tried.reduce((total, one) => total + of(one), 0);
    return {
      protocol,
      states: tried.length,
      bad: sum(({ faults }) => Math.min(1, faults.length)),
      lost: sum(({ lost }) => lost),
      accepted: sum(({ accepted }) => accepted),
      torn: sum(({ torn }) => Number(torn)),
      faults: tried.flatMap(({ faults }) => faults).map((fault) => `${protocol.name}: ${fault}`),
      flushes: median(flushes),
    };
  }

  /** Like `on`, but with a fault in the driver. */
  async control(protocol: Protocol, wrong: NodeJS.ProcessEnv): Promise<{ states: number; bad: number }> {
    const { recording, history, from } = await this.#record(protocol, wrong);
    const all = recording.states(from, CONTROL_STATES, SEED);
    let [states, bad] = [0, 0];
    for (const batch of this.#sample.batches(all, BATCH)) {
      if (bad > 0) break;
      const tried = await this.#try(batch, recording, history, protocol);
      states += tried.length;
      bad += tried.filter(({ faults }) => faults.length > 0).length;
    }
    return { states, bad };
  }

  /** Tries states, which are in order of time. */
  async #try(
    states: readonly DeviceState[],
    recording: Recording,
    history: History,
    protocol: Protocol,
  ): Promise<Tried[]> {
    const tried: Tried[] = [];
    await Promise.all(
      this.#lanes.map(async (lane, index) => {
        await using bus = protocol.keychain ? await startBus() : undefined;
        const own = states.filter((_, number) => number % this.#lanes.length === index);
        await lane.try(recording, own, history, bus ? { bus } : this.credentials, (one) => tried.push(one));
      }),
    );
    return tried;
  }

  async #record(
    protocol: Protocol,
    wrong: NodeJS.ProcessEnv = {},
  ): Promise<{ recording: Recording; history: History; from: number }> {
    await using device = await RecordedDevice.start(join(this.#folder, `device-${++this.#devices}`));
    const { root } = device;
    mkdirSync(join(vaultOn(root), '..'), { recursive: true, mode: 0o700 });
    await using bus = protocol.keychain ? await startBus() : undefined;
    const key = bus ? { bus } : this.credentials;
    const history = new History(() => device.position);
    let from = 0;
    const begin = (): void => {
      from = device.position;
    };
    const env = { ...environment(key, root), ...wrong };
    await loggedIn(key, root, () => protocol.drive({ root, history, env, begin }));
    return { recording: device.recording(), history, from };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane[Symbol.asyncDispose]()));
  }
}

/** A protocol with fewer than `fewest` tried states is a failure. */
function figuresOf(
  results: readonly Result[],
  stopped: Shutdowns,
  controls: readonly Control[],
  fewest: number,
): Figures {
  const sum = (of: (result: Result) => number): number => results.reduce((total, result) => total + of(result), 0);
  const broken = results.flatMap(({ protocol, states, faults }) => [
    ...faults.slice(0, TOLD),
    ...(faults.length > TOLD ? [`${protocol.name}: ${faults.length - TOLD} more faults`] : []),
    ...(states < fewest ? [`${protocol.name}: only ${states} states`] : []),
  ]);
  return {
    cases: sum(({ states }) => states) + stopped.cases,
    lost: sum(({ lost }) => lost) + stopped.lost,
    accepted: sum(({ accepted }) => accepted) + stopped.accepted,
    controls,
    notes: [
      `states per protocol: ${results.map(({ protocol, states }) => `${protocol.name} ${states}`).join(', ')}`,
      `ext4 and xfs shut down after acknowledgements ${stopped.cases}`,
      `torn tails ${sum(({ torn }) => torn)}`,
      `flushes per save: ${results.map(({ protocol, flushes }) => `${protocol.name} ${flushes}`).join(', ')}`,
    ],
    failures: [...broken, ...stopped.faults],
  };
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
