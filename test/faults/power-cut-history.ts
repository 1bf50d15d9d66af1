import type { SeenVault } from './power-cut-checker.ts';

/** A moment, as a position in the log of the recorded device. */
type Place = number;

interface Step {
  readonly text: string;
  readonly asked: Place;
  /** When the vault acknowledged it as durable; infinite until then. */
  acknowledged: Place;
}

/** A session or a snapshot, and its expected content. */
export interface Line {
  readonly kind: 'session' | 'snapshot';
  /** Its file, or (for a snapshot) its id: known from the first acknowledgement on. */
  name: string | undefined;
  readonly steps: Step[];
}

/** The faults found in one state. */
export interface Verdict {
  /** Acknowledged steps that are gone. */
  lost: number;
  /** Steps that were never requested. */
  accepted: number;
  readonly faults: string[];
}

/**
 * The requests to a vault and its acknowledgements, in order of time, as seen by the process that
 * made the requests.
 */
export class History {
  readonly #place: () => Place;
  readonly #acknowledged: (() => Promise<void>) | undefined;
  readonly #lines: Line[] = [];
  readonly #others: { what: string; asked: Place; acknowledged: Place }[] = [];
  #key: { readonly id: string; readonly acknowledged: Place } | undefined;

  /**
   * `place` returns the current position in the log; `acknowledged` runs right after each
   * acknowledgement.
   */
  constructor(place: () => Place, acknowledged?: () => Promise<void>) {
    this.#place = place;
    this.#acknowledged = acknowledged;
  }

  /** Adds a session, in a file that is not known yet. */
  session(): Line {
    const line: Line = { kind: 'session', name: undefined, steps: [] };
    this.#lines.push(line);
    return line;
  }

  /** Requests one step of a session; `save` returns the name of its file. */
  async step(line: Line, text: string, save: () => Promise<string>): Promise<void> {
    const step: Step = { text, asked: this.#place(), acknowledged: Number.POSITIVE_INFINITY };
    line.steps.push(step);
    line.name = await save();
    // Steps that earlier saves could not write are written with the first save that succeeds.
    const now = this.#place();
    for (const one of line.steps) one.acknowledged = Math.min(one.acknowledged, now);
    await this.#acknowledged?.();
  }

  /** Adds a snapshot of the session begun last. `save` returns its id. */
  async snapshot(save: () => Promise<string>): Promise<void> {
    const asked = this.#place();
    const session = this.#lines.findLast(({ kind }) => kind === 'session');
    const steps = (session?.steps ?? []).map(({ text }) => ({ text, asked, acknowledged: Number.POSITIVE_INFINITY }));
    const line: Line = { kind: 'snapshot', name: undefined, steps };
    this.#lines.push(line);
    line.name = await save();
    const acknowledged = this.#place();
    for (const step of steps) step.acknowledged = acknowledged;
    await this.#acknowledged?.();
  }

  /** Notes that the vault is open with that key: from now on it must be. */
  opened(keyId: string): void {
    this.#key ??= { id: keyId, acknowledged: this.#place() };
  }

  /** Notes a save that adds no step. */
  async saved(what: string, save: () => Promise<unknown>): Promise<void> {
    const asked = this.#place();
    await save();
    this.#others.push({ what, asked, acknowledged: this.#place() });
  }

  /**
   * Every save, with the positions in the log at its request and its acknowledgement: steps by
   * their text, snapshots, and others.
   */
  get saves(): readonly { readonly what: string; readonly asked: Place; readonly acknowledged: Place }[] {
    const saves = this.#lines.flatMap(({ kind, steps }) =>
      kind === 'snapshot' ? steps.slice(0, 1).map((step) => ({ ...step, what: kind })) : steps.map(toSave),
    );
    return [...saves, ...this.#others];
  }

  /**
   * Compares the findings with what was acknowledged before a position in the log, and requested
   * until then.
   */
  judge(seen: SeenVault, until: Place, wentOn: readonly string[] = []): Verdict {
    const verdict: Verdict = { lost: 0, accepted: 0, faults: [] };
    const known = this.#lines.filter(({ steps }) => steps.some(({ asked }) => asked <= until));
    const durable = known.flatMap(({ steps }) => steps.filter(({ acknowledged }) => acknowledged <= until));
    if (seen.error) {
      verdict.lost = durable.length;
      verdict.faults.push(`does not open: ${seen.error.code} ${seen.error.message}`);
      return verdict;
    }
    this.#judgeKey(seen, until, wentOn, verdict);
    const left = new Set(seen.files);
    for (const line of known) {
      const file = seen.files.find(({ fileId, id }) => line.name === (line.kind === 'session' ? fileId : id));
      if (file) left.delete(file);
      judgeLine(line, file, until, wentOn, verdict);
    }
    for (const { fileId, texts, error } of left) {
      if (error) verdict.faults.push(`${fileId} can't be read: ${error}`);
      else if (texts.join() !== wentOn.join() && !known.some((line) => mayBe(line, texts))) {
        verdict.accepted += texts.length;
        verdict.faults.push(`${fileId} was never begun, and holds ${texts.join(' ') || 'nothing'}`);
      }
    }
    this.#judgeLink(seen, known, until, wentOn, verdict);
    return verdict;
  }

  /** Once the vault was open, or a file was sealed, no other key may replace its key. */
  #judgeKey(seen: SeenVault, until: Place, wentOn: readonly string[], verdict: Verdict): void {
    if (!this.#key || seen.key === this.#key.id) return;
    const begun = seen.files.some(({ texts }) => wentOn.length === 0 || texts.join() !== wentOn.join());
    if (this.#key.acknowledged > until && !begun) return;
    verdict.lost++;
    verdict.faults.push(`the key is ${seen.key}, and was ${this.#key.id}`);
  }

  /**
   * `_autosave` names the session whose first step was acknowledged last, or one requested later.
   */
  #judgeLink(seen: SeenVault, known: readonly Line[], until: Place, wentOn: readonly string[], verdict: Verdict): void {
    const sessions = known.filter(({ kind }) => kind === 'session');
    const last = sessions.findLastIndex(({ steps }) => (steps[0]?.acknowledged ?? Number.POSITIVE_INFINITY) <= until);
    if (last < 0 || wentOn.length > 0) return;
    if (sessions.slice(last).some(({ name }) => name === seen.autosave)) return;
    verdict.lost++;
    verdict.faults.push(`_autosave names ${seen.autosave}, but ${sessions[last]?.name} was begun last`);
  }
}

/**
 * Returns whether a file may belong to a session or snapshot whose name was never returned, because
 * its first save was refused.
 */
function mayBe({ name, steps }: Line, texts: readonly string[]): boolean {
  return name === undefined && texts.every((text, index) => text === steps[index]?.text);
}

function toSave({ text, asked, acknowledged }: Step): { what: string; asked: Place; acknowledged: Place } {
  return { what: text, asked, acknowledged };
}

function judgeLine(
  { kind, name, steps }: Line,
  file: SeenVault['files'][number] | undefined,
  until: Place,
  wentOn: readonly string[],
  verdict: Verdict,
): void {
  const durable = steps.filter(({ acknowledged }) => acknowledged <= until).length;
  const asked = steps.filter((step) => step.asked <= until).map(({ text }) => text);
  if (!file || file.error) {
    verdict.lost += durable;
    if (file) verdict.faults.push(`${kind} ${name} can't be read: ${file.error}`);
    else if (durable > 0) verdict.faults.push(`${kind} ${name} is gone, ${durable} steps`);
    return;
  }
  const texts = wentOn.length > 0 && file.texts.at(-1) === wentOn.at(-1) ? file.texts.slice(0, -1) : file.texts;
  const same = texts.findIndex((text, index) => text !== asked[index]);
  const good = same < 0 ? texts.length : same;
  const least = kind === 'snapshot' ? asked.length : durable;
  if (good < least) {
    verdict.lost += durable - Math.min(good, durable);
    verdict.faults.push(`${kind} ${name} has ${good} of ${least} steps`);
  }
  if (good < texts.length) {
    verdict.accepted += texts.length - good;
    verdict.faults.push(`${kind} ${name} has ${texts.slice(good).join(' ')}, which was never requested`);
  }
}
