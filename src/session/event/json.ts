/** Maximum nesting depth of values: encoding, printing and searching them recurses. */
export const DEEPEST: number = 1000;

/** Maximum values and JSON bytes of one event: V8 and segments limit a line to 512 MiB. */
const MOST_VALUES = 16 * 1024 * 1024;
const MOST_BYTES = 256 * 1024 * 1024;

/**
 * Maximum JSON bytes of one UTF-16 unit (`\u0000`), and of one value without text (a number, a
 * comma).
 */
const UNIT_BYTES = 6;
const VALUE_BYTES = 32;

/** Tells whether a value returned by JSON.parse is nested deeper than {@link DEEPEST}. */
export function isTooDeep(value: unknown, left: number = DEEPEST): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (left === 0) return true;
  return Object.values(value).some((inside) => typeof inside === 'object' && isTooDeep(inside, left - 1));
}

/**
 * Copies a value so that JSON represents the copy exactly: reading it back equals the copy. Omits
 * undefined fields, symbol keys and named properties of arrays, as JSON.stringify does. Throws
 * TypeError naming the field for anything else that JSON would change, drop or reject, and for
 * values that are nested too deeply or too large.
 */
export function copyJson(value: unknown): unknown {
  const copying = new Copy();
  const copy = copying.of(value);
  if (copying.most > MOST_BYTES && !fits(copy)) throw new TypeError(`the event ${TOO_LARGE}`);
  return copy;
}

function fits(copy: unknown): boolean {
  try {
    return Buffer.byteLength(JSON.stringify(copy)) <= MOST_BYTES;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false; // longer than the maximum string length
  }
}

const TOO_LARGE = 'is too large: an event can have at most 256 MiB as JSON';

class Copy {
  /** The objects that contain the value being copied, to detect cycles. */
  readonly #around = new Set<object>();
  /** The fields and indices that lead to the value being copied. */
  readonly #path: (string | number)[] = [];
  #values = 0;
  #text = 0;

  /** Upper bound of the copy's size as JSON, in bytes. */
  get most(): number {
    return this.#text * UNIT_BYTES + this.#values * VALUE_BYTES;
  }

  of(value: unknown): unknown {
    this.#values++;
    if (this.#values > MOST_VALUES) throw this.#fault(`is too large: an event can have at most ${MOST_VALUES} values`);
    switch (typeof value) {
      case 'string':
        this.#count(value);
        return value;
      case 'number':
        if (!Number.isFinite(value)) throw this.#fault(`is ${value}, which JSON can't represent`);
        return value === 0 ? 0 : value; // JSON has no -0
      case 'boolean':
        return value;
      case 'object':
        return value === null ? null : this.#inside(value);
      default:
        throw this.#fault(`is ${value === undefined ? 'undefined' : `a ${typeof value}`}, which JSON can't represent`);
    }
  }

  #inside(value: object): unknown {
    if (this.#around.size === DEEPEST) throw this.#fault(`is nested deeper than ${DEEPEST} levels`);
    if (this.#around.has(value)) throw this.#fault('refers to an object that contains it');
    this.#around.add(value);
    const copy = Array.isArray(value) ? this.#list(value) : this.#object(value);
    this.#around.delete(value);
    return copy;
  }

  #list(value: readonly unknown[]): unknown[] {
    const copy: unknown[] = [];
    for (let index = 0; index < value.length; index++) copy.push(this.#at(index, value[index]));
    return copy;
  }

  #object(value: object): object {
    const parent: unknown = Object.getPrototypeOf(value);
    // The Object.prototype of any realm is recognised because it has no prototype itself.
    const isPlain = parent === null || Object.getPrototypeOf(parent) === null;
    if (!isPlain) throw this.#fault(`is a ${value.constructor?.name || 'class instance'}, not a plain object`);
    const copy: Record<string, unknown> = {};
    for (const [name, inside] of Object.entries(value)) {
      if (inside === undefined) continue;
      this.#count(name);
      const copied = this.#at(name, inside);
      if (name === '__proto__') Object.defineProperty(copy, name, { value: copied, ...OWN });
      else copy[name] = copied;
    }
    return copy;
  }

  #at(name: string | number, value: unknown): unknown {
    this.#path.push(name);
    const copy = this.of(value);
    this.#path.pop();
    return copy;
  }

  #count(text: string): void {
    this.#text += text.length;
    if (this.#text > MOST_BYTES) throw this.#fault(TOO_LARGE);
  }

  #fault(what: string): TypeError {
    const path = this.#path
      .slice(0, SHOWN)
      .map((name, at) => (typeof name === 'number' ? `[${name}]` : `${at === 0 ? '' : '.'}${name}`));
    const more = this.#path.length > SHOWN ? '…' : '';
    return new TypeError(`${path.join('') || 'the event'}${more} ${what}`);
  }
}

/** Maximum path components in an error: the path of a value nested too deeply has a thousand. */
const SHOWN = 12;

/** The attributes of an assigned property; assigning to `__proto__` would set the prototype. */
const OWN = { writable: true, enumerable: true, configurable: true };
