/** Texts shorter than this are not cached, in characters. */
const SHORT = 100;

/**
 * Serialises requests as JSON in UTF-8. It caches the bytes of each text until the next request,
 * which usually repeats most of them, so that a long conversation is not encoded again for every
 * prompt.
 */
export class RequestWriter {
  #texts = new Map<string, Buffer<ArrayBuffer>>();

  /** Writes a request; its messages come last. */
  write({ messages, ...rest }: Record<string, unknown>): Uint8Array<ArrayBuffer> {
    const before = this.#texts;
    this.#texts = new Map();
    const pieces = [Buffer.from(JSON.stringify({ ...rest, messages: [] }).slice(0, -2))];
    for (const [at, message] of (messages as readonly { role: string; content?: unknown }[]).entries()) {
      const comma = at === 0 ? '' : ',';
      const { content, ...others } = message;
      if (typeof content === 'string' && content.length >= SHORT) {
        const text = before.get(content) ?? Buffer.from(JSON.stringify(content));
        this.#texts.set(content, text);
        pieces.push(Buffer.from(`${comma}${JSON.stringify(others).slice(0, -1)},"content":`), text, CLOSE);
      } else pieces.push(Buffer.from(`${comma}${JSON.stringify(message)}`));
    }
    pieces.push(Buffer.from(']}'));
    return Buffer.concat(pieces);
  }
}

const CLOSE = Buffer.from('}');
