import { registerHooks } from 'node:module';

/*
 * Negative control, loaded into coffer by NODE_OPTIONS=--import: replaces the guard of the
 * otherwise unchanged program by the one of wrong-guard.ts.
 */
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    if (!found.url.endsWith('/src/cli/signals.ts')) return found;
    return { ...found, url: new URL('./wrong-guard.ts', import.meta.url).href };
  },
});
