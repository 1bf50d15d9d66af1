import { CofferError } from '../../errors.ts';

/** Longest reply, in bytes as sent: a reply is held in memory and recorded as one event. */
const REPLY_LIMIT = 128 * 1024 * 1024;
/** Longest line of a reply, in bytes: a parser scans an unfinished line again with each chunk. */
const LINE_LIMIT = 8 * 1024 * 1024;

/**
 * Returns a `fetch` that follows no redirects and waits at most `timeout` milliseconds for the
 * first byte of a response and for each further chunk; 0 means no limit. Node's own limit is 300 s,
 * which is too short for a model that has to be loaded from disk, and only its HTTP client can
 * change it. The requests still go through Node's own dispatcher (`undici.globalDispatcher`), so a
 * proxy set in the environment keeps working. The body fails with `MODEL_FAILED` if it, or a line
 * of it, is too long.
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
  return new CofferError('MODEL_FAILED', `the model server sent ${what} of more than ${bytes / 1024 / 1024} MiB`, {
    advice: 'ask again or choose another model with /model',
  });
}

interface Dispatcher {
  dispatch(options: object, handler: unknown): boolean;
}

/**
 * Returns the dispatcher behind Node's `fetch`; undefined in a version of Node that keeps it
 * elsewhere, where Node's limit applies.
 */
function nodesDispatcher(): Dispatcher | undefined {
  return Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'));
}
