import { type Profiler, Session } from 'node:inspector';

/**
 * The code of some files that has run, as counted by V8: the feedback that lets mutations build on
 * inputs that reached something new. Must be created before those files are loaded.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #isMeant: (url: string) => boolean;
  /** For each file one byte per character: 1 if it has run. */
  readonly #reached = new Map<string, Uint8Array>();

  constructor(isMeant: (url: string) => boolean) {
    this.#isMeant = isMeant;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /**
   * Returns whether any code ran since the last call that had never run before. With `remember` it
   * counts as known from now on.
   */
  isFresh(remember: boolean): boolean {
    let fresh = false;
    for (const script of this.#scripts()) {
      const ran = paint(script);
      const known = this.#known(script.url, ran.length);
      for (let index = 0; index < ran.length; index++) {
        if (ran[index] === 0 || known[index] === 1) continue;
        fresh = true;
        if (remember) known[index] = 1;
      }
    }
    return fresh;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  #known(url: string, length: number): Uint8Array {
    const known = this.#reached.get(url) ?? new Uint8Array(0);
    if (known.length >= length && this.#reached.has(url)) return known;
    const longer = new Uint8Array(length);
    longer.set(known);
    this.#reached.set(url, longer);
    return longer;
  }

  #scripts(): Profiler.ScriptCoverage[] {
    let found: Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error) throw error;
      found = taken.result.filter(({ url }) => this.#isMeant(url));
    });
    return found;
  }
}

/** Outer ranges come before inner ones, and inner ones override them. */
function paint(script: Profiler.ScriptCoverage): Uint8Array {
  const ranges = script.functions.flatMap((one) => one.ranges);
  const characters = new Uint8Array(Math.max(0, ...ranges.map((range) => range.endOffset)));
  for (const { startOffset, endOffset, count } of ranges) characters.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return characters;
}
