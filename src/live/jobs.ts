import { CofferError } from '../errors.ts';

/** How many prompts wait while a turn runs. */
const QUEUE_LIMIT = 10;

/** Something that a live session does alone: a turn, or a compaction. */
interface Job {
  run(signal: AbortSignal): Promise<void>;
  /** Called instead of {@link run} if the session is closed before its turn comes. */
  drop(error: CofferError): void;
}

/** Runs the jobs of a live session one after another; the running one can be cancelled. */
export class Jobs {
  readonly #waiting: Job[] = [];
  readonly #onFault: (error: unknown) => void;
  #running: AbortController | undefined;
  #done: Promise<void> = Promise.resolve();
  #isStopped = false;

  /** `onFault` gets what a job throws: jobs handle every error that isn't a fault of the program. */
  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs a job after those before it. Throws `QUEUE_FULL`, and `FAILED` once they are stopped. */
  add(job: Job): void {
    if (this.#isStopped) throw closed();
    if (this.#waiting.length >= QUEUE_LIMIT) {
      throw new CofferError('QUEUE_FULL', `${QUEUE_LIMIT} prompts wait already`, {
        advice: 'wait for a reply, or cancel',
      });
    }
    this.#waiting.push(job);
    if (this.#running === undefined) this.#done = this.#run();
  }

  /** Aborts the signal of the running job. Throws `NOTHING_RUNS`. */
  cancel(): void {
    if (this.#running === undefined)
      throw new CofferError('NOTHING_RUNS', 'nothing is running that could be cancelled');
    this.#running.abort();
  }

  /** Drops the jobs that wait, cancels the running one, and waits for its end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const job of this.#waiting.splice(0)) job.drop(closed());
    this.#running?.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      this.#running = new AbortController();
      try {
        await job.run(this.#running.signal);
      } catch (error) {
        this.#onFault(error);
      }
      this.#running = undefined;
    }
  }
}

function closed(): CofferError {
  return new CofferError('FAILED', 'the session is closed');
}
