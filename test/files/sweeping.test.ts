import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireStrace, temporaryFolder } from './facilities.ts';
import { traced } from './trace.ts';

const NEW = 'new '.repeat(2500);

describe('when another process mistakes the temp for that of a dead one and sweeps it', () => {
  it('still points the link', async (context) => {
    requireStrace(context);
    const path = join(temporaryFolder(), 'link');
    const fault = 'rename,renameat,renameat2:error=ENOENT';
    const once = await traced('pointLinkSync', { path, fill: 'there' }, [`${fault}:when=1`]);
    expect(once.outcome).toEqual({});
    expect(readlinkSync(path)).toBe('there');
    const always = await traced('pointLinkSync', { path, fill: 'elsewhere' }, [fault]);
    expect(always.outcome?.error).toMatchObject({ code: 'NOT_SAVED', reason: 'file or directory is gone' });
  });

  it('still creates a new file', async (context) => {
    requireStrace(context);
    const path = join(temporaryFolder(), 'vault.json');
    const { outcome } = await traced('create', { path, size: NEW.length, fill: NEW }, [
      'unlink,unlinkat:error=ENOENT:when=1',
    ]);
    expect(outcome?.error).toBeUndefined();
    expect(readFileSync(path, 'utf8')).toBe(NEW);
  });
});
