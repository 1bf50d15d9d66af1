import { CofferError } from '../errors.ts';

/** Maximum jobs queued behind the running one. */
const QUEUE_LIMIT = 10;

/** A turn or a compaction: work of which a live session runs one at a time. */
interface Job {
  run(signal: AbortSignal): Promise<void>;
  /** Called instead of {@link run} if the session is closed before its turn comes. */
  drop(error: CofferError): void;
}

/** The job queue of a live session. Runs one job at a time; the running one can be cancelled. */
export class Jobs {
  readonly #waiting: Job[] = [];
  readonly #onFault: (error: unknown) => void;
  #running: AbortController | undefined;
  #done: Promise<void> = Promise.resolve();
  #isStopped = false;

  /** `onFault` is called with whatever a job throws: only faults of the program, by contract. */
  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault;
  }

  /** Whether a job is running. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** The number of queued jobs, without the running one. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Queues a job. Throws `QUEUE_FULL`, and `FAILED` after {@link stop}. */
  add(job: Job): void {
    if (this.#isStopped) throw closed();
    if (this.#waiting.length >= QUEUE_LIMIT) {
      throw new CofferError('QUEUE_FULL', `${QUEUE_LIMIT} prompts are already waiting`, {
        advice: 'wait for a reply, or cancel it',
      });
    }
    this.#waiting.push(job);
    if (this.#running === undefined) this.#done = this.#run();
  }

  /** Aborts the signal of the running job. Throws `NOTHING_RUNS`. */
  cancel(): void {
    if (this.#running === undefined) throw new CofferError('NOTHING_RUNS', 'nothing is running to cancel');
    this.#running.abort();
  }

  /** Drops the queued jobs, cancels the running one, and resolves when it has ended. */
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
