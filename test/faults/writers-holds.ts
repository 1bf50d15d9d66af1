import { clock } from './clock.ts';

/**
 * One period in which a process held a session: it certainly held it from `from` to `until`, by
 * `clock`, and maybe a little longer.
 */
export interface Hold {
  readonly pid: number;
  readonly fileId: string;
  readonly from: number;
  until: number;
}

/**
 * Returns which two processes held the same session at the same time. A stopped process keeps what
 * it held.
 */
export function overlapsIn(holds: readonly Hold[]): string[] {
  const overlaps: string[] = [];
  const latest = new Map<string, Hold>();
  for (const hold of holds.toSorted((a, b) => a.from - b.from)) {
    const before = latest.get(hold.fileId);
    if (before && hold.from < before.until) {
      const microseconds = Math.min(before.until, hold.until) - hold.from;
      overlaps.push(`${before.pid} and ${hold.pid} both had ${hold.fileId} for ${microseconds} µs`);
    }
    if (!before || hold.until > before.until) latest.set(hold.fileId, hold);
  }
  return overlaps;
}

/** Which process was ordered to do something with a file, and until when that could last. */
export class Spans {
  readonly #ofProcess = new Map<number, Span[]>();

  /**
   * Notes that it gets the order now. `fileId` is undefined if it makes a new file, which can be
   * any.
   */
  begin(pid: number, fileId: string | undefined): Span {
    const span = { fileId, until: Number.POSITIVE_INFINITY };
    const spans = this.#ofProcess.get(pid);
    if (spans) spans.push(span);
    else this.#ofProcess.set(pid, [span]);
    return span;
  }

  /** Notes that it has done it, or that it is dead. */
  end(span: Span): void {
    span.until = clock();
  }

  /** Returns whether a process was at a file at some time since `since`. */
  had(pid: number, fileId: string, since: number): boolean {
    const spans = this.#ofProcess.get(pid) ?? [];
    return spans.some((span) => (span.fileId ?? fileId) === fileId && span.until > since);
  }
}

interface Span {
  readonly fileId: string | undefined;
  until: number;
}
