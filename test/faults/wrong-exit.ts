import { registerHooks } from 'node:module';

/*
 * Negative control, loaded into coffer by NODE_OPTIONS=--import: the program is as it is, but for its guard, in whose place
 * stands the one of wrong-guard.ts.
 */
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    if (!found.url.endsWith('/src/cli/signals.ts')) return found;
    return { ...found, url: new URL('./wrong-guard.ts', import.meta.url).href };
  },
});
