import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');

/** Names that need no import. */
const GLOBAL =
  /^(AbortSignal|Array|AsyncDisposable|AsyncGenerator|Buffer|Date|Error|ErrorOptions|Exclude|Extract|Omit|Partial|Pick|ProcessEnv|Promise|Readonly|Record|Symbol|Uint8Array|NodeJS|T)$/;

const USES = `
import { isCofferError, isKnown, MemoryKeyring, openVault, textOf } from 'coffer';

await using vault = await openVault({ keyring: new MemoryKeyring() });
await using session = vault.begin({ directory: '/', model: 'demo/echo' });
await session.append({ type: 'message', message: { role: 'user', content: 'hello' } });
for (const event of session.events) if (isKnown(event) && event.type === 'message') textOf(event.message);
const { prompts, of, cut }: { prompts: number; of: number; cut: number } = await session.rewind(0);
const changed: number = await session.redact('hello') + prompts + of + cut;
for await (const hit of vault.search('hello')) if ('error' in hit) isCofferError(hit.error);
for await (const event of vault.follow(await vault.find('last'), AbortSignal.timeout(changed))) event.id.toFixed();
await vault.fork(await vault.find('last'), { onUnnoted: ({ code }) => code });
await vault.keys.finishRotation();
await vault.upkeep.inspect();
// @ts-expect-error: internal, so not in the declarations
session.draft = undefined;
// @ts-expect-error: internal, so not in the declarations
session.finalSave();
// @ts-expect-error: internal, so not in the declarations
await vault.texts();
// @ts-expect-error: internal, so not in the declarations
await vault.scan(await vault.find('last'), () => undefined);
// @ts-expect-error: internal, so not in the declarations
await vault.readOn(await vault.find('last'));
// @ts-expect-error: it holds the key, so it is internal
(await vault.keys.recover({ askSecret: async () => undefined })).unlocked;
`;

describe('the types of the library', () => {
  let folder = '';
  let exported: string[] = [];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'coffer-types-'));
    const built = compile('-p', join(root, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', folder);
    expect(built).toBe('');
    const index = readFileSync(join(folder, 'src/index.d.ts'), 'utf8');
    exported = [...index.matchAll(/\{([^}]*)\} from/g)].flatMap(([, names = '']) =>
      [...names.matchAll(/(?:type )?(\w+)/g)].map(([, name = '']) => name),
    );
    return () => rmSync(folder, { recursive: true, force: true });
  }, 120_000);

  it('show what is public, and no internals', () => {
    expect(use(USES)).toBe('');
  });

  it('have a name for each type that a public signature names', () => {
    const names = exported.filter((name) => /^[A-Z]/.test(name) && !/^(CofferError|MemoryKeyring)$/.test(name));
    expect(names.length).toBeGreaterThan(50);
    const program = names.map((name, at) => `import { type ${name} as T${at} } from 'coffer'; export type { T${at} };`);
    expect(use(program.join('\n'))).toBe('');
    expect(unnamed(exported)).toEqual([]);
  });

  it('would miss a type that is not exported', () => {
    expect(unnamed(exported.filter((name) => name !== 'Permission'))).toEqual(['Permission']);
    expect(use("import type { TextIndex } from 'coffer'; export type { TextIndex };")).toContain('TextIndex');
  });

  /** Lists the types that the declarations of exported names use and that aren't in `names`. */
  function unnamed(names: readonly string[]): string[] {
    const used = new Set<string>();
    for (const path of globSync('**/*.d.ts', { cwd: folder })) {
      const text = readFileSync(join(folder, path), 'utf8').replace(/\/\*.*?\*\//gs, '');
      for (const declaration of text.split(/^(?=export |import |declare |type |interface )/m)) {
        const [, name = ''] = /^export (?:declare )?(?:class|interface|type|function) (\w+)/.exec(declaration) ?? [];
        if (!exported.includes(name)) continue;
        const bare = declaration.replace(/'[^']*'|"[^"]*"/g, '');
        for (const [word] of bare.matchAll(/\b[A-Z]\w*[a-z]\w*\b/g)) used.add(word);
      }
    }
    return [...used].filter((name) => !names.includes(name) && !GLOBAL.test(name)).sort();
  }

  /** Compiles a program that uses the library, and returns the errors. */
  function use(program: string): string {
    writeFileSync(join(folder, 'use.ts'), program);
    const options = {
      ...{ module: 'nodenext', target: 'es2024', lib: ['es2024', 'esnext.disposable'], strict: true, noEmit: true },
      ...{ exactOptionalPropertyTypes: true, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
      paths: { coffer: [join(folder, 'src/index.d.ts')] },
    };
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['use.ts'] }));
    return compile('-p', folder);
  }
});

function compile(...args: readonly string[]): string {
  return String(spawnSync(process.execPath, [compiler, ...args], { cwd: root }).stdout);
}
