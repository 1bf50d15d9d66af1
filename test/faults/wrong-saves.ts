import { registerHooks } from 'node:module';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/*
 * Loaded before the driver (`node --import`), replaces one of coffer's modules by a deliberately
 * wrong one; the rest of the vault is unchanged. COFFER_WRONG selects it: a file
 * `wrong-saves-<name>.ts`, which first exports everything of the module it replaces and then its
 * own version of the faulty part.
 */

/** The module of coffer that each wrong one replaces. */
const PLACES: Readonly<Record<string, string>> = {
  'in-place': 'src/files/replace/replace.ts',
  'key-in-place': 'src/vault/keys/keys.ts',
  unchecked: 'src/files/replace/replace.ts',
  'atomic-package': 'src/files/replace/replace.ts',
  'flush-again': 'src/files/append.ts',
  'cache-kept': 'src/files/replace/cache.ts',
  'cache-left': 'src/files/replace/cache.ts',
  'mac-unchecked': 'src/vault/keys/record/record.ts',
  'certificate-unchecked': 'src/vault/keys/record/record.ts',
};

/** Returns the environment of a driver that saves in one of these ways. */
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
