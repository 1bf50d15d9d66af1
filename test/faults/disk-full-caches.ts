import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Undo } from './block-device.ts';
import { lookAtCaches, makeVault, wrongIn } from './caches.ts';
import type { Control } from './campaign.ts';
import { SmallDisk, SYSTEMS } from './disk-full-disk.ts';
import { type Answer, type Asked, Driver } from './driven.ts';
import { environment, type Key, vaultOn } from './power-cut-home.ts';
import { wrongWay } from './wrong-saves.ts';

/* The disk is full while the caches are written: what is told is right all the same, and nothing of them is left lying. */

/** How much is free, in KiB: the list's cache takes about 8, the texts' about 12. */
const FREE = [0, 4, 8, 12, 16, 24, 40];

/** What became of all cases. */
export interface FullCaches {
  readonly cases: number;
  readonly unwritten: number;
  readonly control: Control;
  readonly failures: readonly string[];
}

/** Fills disks of each kind to each degree. */
export async function fillWithCaches(folder: string, key: Key): Promise<FullCaches> {
  const right = await onAll(folder, key, {});
  const wrong = await onAll(folder, key, wrongWay('cache-left'));
  const caught = wrong.filter(({ faults }) => faults.length > 0).length;
  return {
    cases: right.length,
    unwritten: right.filter(({ isUnwritten }) => isUnwritten).length,
    control: { name: 'leaving half a cache', cases: wrong.length, caught },
    failures: right.flatMap(({ faults }) => faults),
  };
}

interface Full {
  readonly isUnwritten: boolean;
  readonly faults: readonly string[];
}

async function onAll(folder: string, key: Key, wrong: NodeJS.ProcessEnv): Promise<Full[]> {
  const cases: Full[] = [];
  for (const system of SYSTEMS) {
    await using undo = new Undo();
    const name = `disk-caches-${system}-${wrong['COFFER_WRONG'] ?? 'right'}`;
    const disk = await SmallDisk.make(join(folder, name), system, undo);
    const person = join(disk.root, 'person');
    const env = environment(key, person);
    const words = await makeVault(env);
    for (const free of FREE) {
      await using driver = await Driver.start({ ...env, ...wrong });
      await driver.ask({ do: 'open' });
      disk.fill(free * 1024);
      const asks: readonly Asked[] = [{ do: 'list' }, { do: 'search', text: [...words.values()][1]! }, { do: 'list' }];
      const faults: string[] = [];
      let last: Answer | undefined;
      for (const asked of asks) {
        last = await driver.ask(asked);
        // Nothing is to be written but the caches: no error is to be told either.
        if (last && !last.ok) faults.push(`${asked.do}: ${last.error?.message}`);
        faults.push(...wrongIn(asked, last, words));
      }
      const vault = vaultOn(person);
      const isUnwritten = ['index', 'texts'].some((name) => !existsSync(join(vault, name)));
      disk.empty();
      await driver.kill();
      faults.push(...(await lookAtCaches(env, words)));
      for (const temp of readdirSync(vault)) if (temp.endsWith('.tmp')) rmSync(join(vault, temp));
      for (const name of ['index', 'texts']) rmSync(join(vault, name), { force: true });
      cases.push({ isUnwritten, faults: faults.map((fault) => `caches on ${system}, ${free} KiB free: ${fault}`) });
    }
  }
  return cases;
}
