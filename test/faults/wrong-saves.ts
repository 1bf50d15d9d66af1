import { registerHooks } from 'node:module';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/*
 * Loaded before the driver (`node --import`), this puts a deliberately wrong module in the place of one of coffer's own; all the
 * rest of the vault stays as it is. COFFER_WRONG says which one: a folder entry `wrong-saves-<name>.ts`, which begins by exporting
 * everything of the module that it stands for and then has its own version of what it does wrong.
 */

/** Which of coffer's modules each wrong one takes the place of. */
const PLACES: Readonly<Record<string, string>> = {
  'in-place': 'src/files/replace.ts',
  'key-in-place': 'src/vault/keys/keys.ts',
  unchecked: 'src/files/replace.ts',
  'atomic-package': 'src/files/replace.ts',
  'flush-again': 'src/files/append.ts',
  'cache-kept': 'src/files/cache.ts',
  'cache-left': 'src/files/cache.ts',
  'mac-unchecked': 'src/vault/keys/record/record.ts',
  'certificate-unchecked': 'src/vault/keys/record/record.ts',
};

/** The environment of a driver that saves in one of these ways. */
export function wrongWay(name: keyof typeof PLACES & string): NodeJS.ProcessEnv {
  return { COFFER_WRONG: name, NODE_OPTIONS: `--import=${pathToFileURL(import.meta.filename)}` };
}

const wrong = process.env['COFFER_WRONG'];
const place = wrong === undefined ? undefined : PLACES[wrong];
if (place !== undefined) {
  const right = pathToFileURL(`${import.meta.dirname}/../../${place}`).href;
  const instead = new URL(`./wrong-saves-${wrong}.ts`, import.meta.url).href;
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const isWrongItself = basename(fileURLToPath(context.parentURL ?? 'file:///')).startsWith('wrong-saves-');
      return found.url === right && !isWrongItself ? { ...found, url: instead } : found;
    },
  });
}
