import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Package {
  name?: string;
  version?: string;
  resolved?: string;
  integrity?: string;
  inBundle?: boolean;
  hasInstallScript?: boolean;
  optionalDependencies?: Record<string, string>;
}

interface Manifest {
  engines: { node: string };
  devDependencies: Record<string, string>;
  allowScripts: Record<string, boolean>;
}

const root = join(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Package> };
const packages = Object.entries(lock.packages).filter(([path]) => path !== '');

describe('package.json', () => {
  it('names every locked package that runs a script when it is installed, and no other', () => {
    const names = packages
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .flatMap(([path, { name }]) => [path.replace(/^.*node_modules\//, ''), ...(name === undefined ? [] : [name])]);
    expect(names).toContain('node');
    expect(Object.keys(manifest.allowScripts).sort()).toEqual([...new Set(names)].sort());
    expect(Object.values(manifest.allowScripts)).not.toContain(false);
  });

  it('brings along a Node that its own engines accept', () => {
    expect(manifest.engines.node).toBe(`>=${manifest.devDependencies['node']?.replace(/^\^(\d+\.\d+)\.0$/, '$1')}`);
  });
});

describe('package-lock.json', () => {
  it('names no host that packages come from', () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });

  it('pins the bytes of every package', () => {
    const loose = packages.filter(([, { integrity, inBundle }]) => integrity === undefined && inBundle !== true);
    expect(loose).toEqual([]);
  });

  it("holds every platform's packages, without which npm ci refuses to start", () => {
    const missing = packages.flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !isLocked(name, path)),
    );
    expect(missing).toEqual([]);
  });
});

/** Looks where Node would: below the package itself, then below each package around it, then at the top. */
function isLocked(name: string, from: string): boolean {
  for (let base = from; base !== ''; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
    if (`${base}/node_modules/${name}` in lock.packages) return true;
  }
  return `node_modules/${name}` in lock.packages;
}
