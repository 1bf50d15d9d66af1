import { EventEmitter, once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import { clock } from './clock.ts';
import type { Answer, Asked, Driver } from './driven.ts';
import { type Hold, Spans } from './writers-holds.ts';

/** Number of processes that write at the same time. */
const WRITERS = 6;
/** Few sessions, so that the processes keep meeting in one. */
const SESSIONS = 4;
const SNAPSHOTS = 60;

/** A process that writes, and its current order. */
interface Writer {
  readonly driver: Driver;
  /** Its current order, from the request until it is done; no file if it begins a session. */
  order: { readonly fileId: string | undefined } | undefined;
  /** When it was killed, by `clock`. */
  killed: number | undefined;
  stopped: boolean;
  /** It ended without an answer. */
  gone: boolean;
}

/**
 * Six processes over one vault. Each repeatedly takes a session, saves steps and snapshots in it
 * and closes it, while they are killed and stopped at random and the dead replaced. Everything
 * recorded here is what they acknowledged, never what the vault says.
 */
export class Attack {
  /** Which process held which session when. */
  readonly holds: Hold[] = [];
  /** The texts of the acknowledged steps, by file, in order. */
  readonly saved: Map<string, string[]> = new Map();
  /** The content of each acknowledged snapshot, by its id. */
  readonly snapshots: Map<string, readonly string[]> = new Map();
  /** Every broken promise, one line each. */
  readonly failures: string[] = [];
  kills = 0;
  stops = 0;
  /** Number of times a session was refused because another process held it. */
  refusals = 0;
  /**
   * Number of times a session was requested right after its holder was killed, with no other
   * process after it.
   */
  takeovers = 0;
  refusedTakeovers = 0;
  readonly #start: () => Promise<Driver>;
  readonly #chance: Chance;
  readonly #writers = new Set<Writer>();
  readonly #orders = new Spans();
  readonly #reserved = new Set<string>();
  readonly #due: string[] = [];
  readonly #answers = new EventEmitter();
  #texts = 0;
  #over = false;

  constructor(start: () => Promise<Driver>, chance: Chance) {
    this.#start = start;
    this.#chance = chance;
  }

  /**
   * Runs for that many seconds, and longer until sessions were taken `fewest` times: on a busy
   * machine seconds may pass before the first. Resolves when every process has ended.
   */
  async run(seconds: number, fewest = 0): Promise<void> {
    const emergency = (): void => this.#killAll();
    process.once('exit', emergency);
    try {
      const slots = Array.from({ length: WRITERS }, () => this.#slot());
      const torment = this.#torment();
      await Promise.race([this.#enough(seconds, fewest), Promise.all(slots)]);
      this.#over = true;
      this.#answers.emit('answer');
      await torment;
      await Promise.all(slots);
    } finally {
      this.#over = true;
      process.off('exit', emergency);
      this.#killAll();
    }
  }

  async #enough(seconds: number, fewest: number): Promise<void> {
    await pause(seconds * 1000);
    while (this.holds.length < fewest) await once(this.#answers, 'answer');
  }

  /** A stopped process does not end when this one does. */
  #killAll(): void {
    for (const { driver } of this.#writers) driver.child.kill('SIGKILL');
  }

  /** One of six places: a process that dies there is replaced. */
  async #slot(): Promise<void> {
    while (!this.#over) {
      const driver = await this.#start();
      const writer: Writer = { driver, order: undefined, killed: undefined, stopped: false, gone: false };
      this.#writers.add(writer);
      while (!this.#over && (await this.#turn(writer)));
      this.#writers.delete(writer);
      await driver.kill();
    }
  }

  /** Has one session taken, written and closed. Returns false if the process has died of it. */
  async #turn(writer: Writer): Promise<boolean> {
    const { driver } = writer;
    const due = this.#due.shift();
    const fileId = due ?? this.#choose();
    writer.order = { fileId };
    const order = this.#orders.begin(driver.pid, fileId);
    const taken = fileId === undefined ? await this.#begin(writer) : await this.#resume(writer, fileId, due);
    const goesOn = taken === undefined ? !writer.gone : await this.#write(writer, taken);
    if (!goesOn) await this.#bury(writer);
    this.#orders.end(order);
    writer.order = undefined;
    return goesOn;
  }

  async #bury({ driver, killed }: Writer): Promise<void> {
    if (killed === undefined) this.failures.push(`process ${driver.pid} was not killed but could not continue`);
    await driver.kill();
  }

  async #ask(writer: Writer, asked: Asked): Promise<Answer | undefined> {
    const answer = await writer.driver.ask(asked);
    if (!answer) writer.gone = true;
    this.#answers.emit('answer');
    return answer;
  }

  async #begin(writer: Writer): Promise<Hold | undefined> {
    if (!(await this.#ask(writer, { do: 'begin' }))) return undefined;
    const text = this.#text();
    const answer = await this.#ask(writer, { do: 'step', text });
    if (!this.#isFine(answer, 'a first step') || answer.fileId === undefined) return undefined;
    this.saved.set(answer.fileId, [text]);
    return { pid: writer.driver.pid, fileId: answer.fileId, from: answer.done, until: Number.POSITIVE_INFINITY };
  }

  async #resume(writer: Writer, fileId: string, due: string | undefined): Promise<Hold | undefined> {
    const { pid } = writer.driver;
    const asked = clock();
    const answer = await this.#ask(writer, { do: 'resume', text: fileId });
    if (due !== undefined) this.#reserved.delete(due);
    if (!answer) return undefined;
    if (due !== undefined) this.takeovers++;
    if (answer.ok) return { pid, fileId, from: answer.done, until: Number.POSITIVE_INFINITY };
    const { code, message = '' } = answer.error ?? {};
    if (due !== undefined) {
      this.refusedTakeovers++;
      this.failures.push(`the session ${fileId} of a dead process was refused: ${message}`);
    }
    if (code !== 'SESSION_IN_USE') this.failures.push(`a session could not be resumed: ${code}: ${message}`);
    else this.#checkRefusal(pid, fileId, message, asked);
    return undefined;
  }

  /** A refusal must name a process that was at that file between the request and the answer. */
  #checkRefusal(pid: number, fileId: string, message: string, asked: number): void {
    this.refusals++;
    const named = Number(/process (\d+)/.exec(message)?.[1]);
    if (named === pid || !this.#orders.had(named, fileId, asked))
      this.failures.push(`${fileId} was refused in the name of a process that was not at it: ${message}`);
  }

  /** Saves, and closes. Returns false if the process has died of it. */
  async #write(writer: Writer, hold: Hold): Promise<boolean> {
    this.holds.push(hold);
    const closed = await this.#saveAndClose(writer, hold);
    // Until it began to close, or was killed, it certainly held the session.
    hold.until = closed ?? Math.min(hold.until, writer.killed ?? hold.from);
    return closed !== undefined;
  }

  /** Returns when it began to close; undefined if it did not get that far. */
  async #saveAndClose(writer: Writer, hold: Hold): Promise<number | undefined> {
    const saved = this.saved.get(hold.fileId) ?? [];
    for (let left = 1 + this.#chance.below(5); left > 0; left--) {
      const text = this.#text();
      const size = this.#chance.percent(10) ? 40_000 : this.#chance.below(200);
      if (!this.#isFine(await this.#ask(writer, { do: 'step', text, size }), 'a step')) return undefined;
      saved.push(text);
    }
    if (this.snapshots.size < SNAPSHOTS && this.#chance.percent(5)) {
      const answer = await this.#ask(writer, { do: 'snapshot' });
      if (!this.#isFine(answer, 'a snapshot')) return undefined;
      if (answer.id !== undefined) this.snapshots.set(answer.id, [...saved]);
    }
    hold.until = clock(); // in case it dies while closing
    const answer = await this.#ask(writer, { do: 'close' });
    return this.#isFine(answer, 'closing') ? answer.began : undefined;
  }

  #isFine(answer: Answer | undefined, what: string): answer is Answer {
    if (answer && !answer.ok) this.failures.push(`${what} failed: ${answer.error?.code}: ${answer.error?.message}`);
    return answer?.ok ?? false;
  }

  /**
   * Returns a session to take that is not reserved for another process; undefined if a new one is
   * to be begun.
   */
  #choose(): string | undefined {
    const free = [...this.saved.keys()].filter((fileId) => !this.#reserved.has(fileId));
    return this.saved.size < SESSIONS && this.#chance.percent(10) ? undefined : this.#chance.of(free);
  }

  #text(): string {
    return `w${++this.#texts}`;
  }

  /** Kills and stops random processes until the time is over and none is stopped any more. */
  async #torment(): Promise<void> {
    const stops: Promise<void>[] = [];
    while (!this.#over) {
      // Paced by completed work, not by the clock, so that a busy machine is not only starting
      // processes.
      for (let left = this.#chance.below(50); left > 0 && !this.#over; left--) await once(this.#answers, 'answer');
      await pause(this.#chance.below(20));
      const writer = this.#chance.of([...this.#writers].filter(({ killed, stopped }) => !killed && !stopped));
      if (!writer) continue;
      if (this.#chance.percent(60)) this.#kill(writer);
      else stops.push(this.#stop(writer));
    }
    await Promise.all(stops);
  }

  /**
   * Kills a process. If no other process waits for its session, the session is reserved for the
   * next free one, which must get it.
   */
  #kill(writer: Writer): void {
    writer.killed = clock();
    writer.driver.child.kill('SIGKILL');
    this.kills++;
    const fileId = writer.order?.fileId;
    if (fileId === undefined || !this.saved.has(fileId) || this.#reserved.has(fileId)) return;
    if ([...this.#writers].some((other) => other !== writer && other.order?.fileId === fileId)) return;
    this.#reserved.add(fileId);
    void writer.driver.ended.then(() => this.#due.push(fileId));
  }

  async #stop(writer: Writer): Promise<void> {
    writer.stopped = true;
    writer.driver.child.kill('SIGSTOP');
    this.stops++;
    // Mostly short: a process stopped while it changes the set of sessions blocks all others.
    await pause(this.#chance.below(this.#chance.percent(20) ? 3000 : 200));
    if (this.#chance.percent(30)) this.#kill(writer);
    else writer.driver.child.kill('SIGCONT');
    writer.stopped = false;
  }
}
