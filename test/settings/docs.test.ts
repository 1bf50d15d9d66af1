import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { keyNames } from '../../src/settings/keys.ts';
import { configMarkdown, configPath } from '../../tools/docs-config.ts';

describe('docs/config.md', () => {
  it('matches the settings; node tools/docs-config.ts regenerates it', () => {
    expect(readFileSync(configPath, 'utf8')).toBe(configMarkdown());
  });

  it('has a row for every setting', () => {
    const rows = [...configMarkdown().matchAll(/^\| `([\w.]+)` \|.*\|.*\|.*\|.*\|.*\|$/gm)].map(([, key]) => key);
    expect(rows).toEqual(keyNames);
  });
});
