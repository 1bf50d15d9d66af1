import { CofferError } from '../../errors.ts';

/** How long a reply may be, in bytes as it is sent: it is kept in memory, and recorded as one event. */
const REPLY_LIMIT = 128 * 1024 * 1024;
/** How long a line of it may be: whatever parses it looks at all of an unfinished line again with each piece. */
const LINE_LIMIT = 8 * 1024 * 1024;

/**
 * Returns a `fetch` that follows no redirect and waits `timeout` milliseconds for the first byte of a response, and for each next one; 0
 * for as long as it takes. Node's own limit is 300 s, which a model that is loaded from disk exceeds, and only its HTTP client can change
 * it: the dispatcher is the one that Node uses (`undici.globalDispatcher`), so a proxy that the environment names is used as ever. The body ends with `MODEL_FAILED` if it, or a line of it, is too long.
 */
export function patientFetch(timeout: number): typeof fetch {
  const limits = { headersTimeout: timeout, bodyTimeout: timeout };
  const dispatcher = {
    dispatch: (options: object, handler: unknown) => nodesDispatcher()?.dispatch({ ...options, ...limits }, handler),
  };
  return async (input, init) => {
    const patient = nodesDispatcher() === undefined ? {} : { dispatcher: dispatcher as never };
    const response = await fetch(input, { ...init, redirect: 'manual', ...patient });
    if (response.body === null) return response;
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(limit()), { status, statusText, headers });
  };
}

function limit(): TransformStream<Uint8Array, Uint8Array> {
  let [length, line] = [0, 0];
  return new TransformStream({
    transform(chunk, controller) {
      const end = chunk.lastIndexOf(10);
      length += chunk.length;
      line = end === -1 ? line + chunk.length : chunk.length - end - 1;
      if (length > REPLY_LIMIT) throw tooLong('a reply', REPLY_LIMIT);
      if (line > LINE_LIMIT) throw tooLong('a line', LINE_LIMIT);
      controller.enqueue(chunk);
    },
  });
}

function tooLong(what: string, bytes: number): CofferError {
  return new CofferError('MODEL_FAILED', `the model server sends ${what} of more than ${bytes / 1024 / 1024} MiB`, {
    advice: 'ask again or choose another with /model',
  });
}

interface Dispatcher {
  dispatch(options: object, handler: unknown): boolean;
}

/** The dispatcher behind Node's `fetch`; undefined in a Node that keeps it elsewhere, where the limit is Node's. */
function nodesDispatcher(): Dispatcher | undefined {
  return Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'));
}
