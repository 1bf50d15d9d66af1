import { afterEach, describe, expect, it, vi } from 'vitest';
import { requirePart } from './support.ts';

/** A test context whose `skip` throws its note. */
function contextThatSkips(): { skip(note?: string): never } {
  return {
    skip: (note) => {
      throw new Error(`skipped: ${note}`);
    },
  };
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('requirePart', () => {
  it('lets a test run if nothing is missing', () => {
    vi.stubEnv('COFFER_TEST_REQUIRE', 'keychain,vectors');
    expect(() => requirePart(contextThatSkips(), true, 'python3-x')).not.toThrow();
  });

  it('skips by name, with the command that installs what is missing', () => {
    for (const required of ['', 'faults']) {
      vi.stubEnv('COFFER_TEST_REQUIRE', required);
      const attempt = (): void => requirePart(contextThatSkips(), false, 'python3-x');
      expect(attempt).toThrow('skipped: missing; install with: apt-get install -y python3-x');
    }
  });

  it.each(['vectors', 'keychain', 'faults,keychain'])('fails instead under COFFER_TEST_REQUIRE=%s', (required) => {
    vi.stubEnv('COFFER_TEST_REQUIRE', required);
    expect(() => requirePart(contextThatSkips(), false, 'python3-x')).toThrow(/^missing; install with/);
  });
});
