/**
 * Returns a `fetch` that follows no redirect and waits `timeout` milliseconds for the first byte of a response, and for each next one; 0
 * for as long as it takes. Node's own limit is 300 s, which a model that is loaded from disk exceeds, and only its HTTP client can change
 * it: the dispatcher is the one that Node uses (`undici.globalDispatcher`), so a proxy that the environment names is used as ever.
 */
export function patientFetch(timeout: number): typeof fetch {
  const limits = { headersTimeout: timeout, bodyTimeout: timeout };
  const dispatcher = {
    dispatch: (options: object, handler: unknown) => nodesDispatcher()?.dispatch({ ...options, ...limits }, handler),
  };
  return (input, init) => {
    const patient = nodesDispatcher() === undefined ? {} : { dispatcher: dispatcher as never };
    return fetch(input, { ...init, redirect: 'manual', ...patient });
  };
}

interface Dispatcher {
  dispatch(options: object, handler: unknown): boolean;
}

/** The dispatcher behind Node's `fetch`; undefined in a Node that keeps it elsewhere, where the limit is Node's. */
function nodesDispatcher(): Dispatcher | undefined {
  return Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'));
}
