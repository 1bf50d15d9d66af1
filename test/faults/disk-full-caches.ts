import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Undo } from './block-device.ts';
import { lookAtCaches, makeVault, wrongIn } from './caches.ts';
import type { Control } from './campaign.ts';
import { SmallDisk, SYSTEMS, type System } from './disk-full-disk.ts';
import { type Answer, type Asked, Driver } from './driven.ts';
import { environment, type Key, vaultOn } from './power-cut-home.ts';
import type { Sample } from './sample.ts';
import { wrongWay } from './wrong-saves.ts';

/*
 * The disk is full while the caches are written: answers must still be right, and no partial cache
 * may be left.
 */

/** Free space in KiB: the list's cache takes about 8, the texts' about 12. */
const FREE = [0, 4, 8, 12, 16, 24, 40];
/** The short form tries one case in this many. */
const INTERVAL = 7;
/**
 * Cases of a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 4;

/** The totals of all cases. */
export interface FullCaches {
  readonly cases: number;
  readonly unwritten: number;
  readonly control: Control;
  readonly failures: readonly string[];
}

/** Fills disks of each kind to each degree. */
export async function fillWithCaches(
  folder: string,
  key: Key,
  tell: (line: string) => void,
  sample: Sample,
): Promise<FullCaches> {
  const cases = SYSTEMS.flatMap((system) => FREE.map((free): Case => ({ system, free })));
  tell('caches');
  const right = await onAll(join(folder, 'caches'), key, [...sample.of(cases, INTERVAL, ({ system }) => system)], {});
  const name = 'leaving half a cache';
  let [tried, caught] = [0, 0];
  for (const batch of sample.batches(cases, BATCH)) {
    if (caught > 0) break;
    tell(name);
    const wrong = await onAll(join(folder, `caches-wrong-${tried}`), key, batch, wrongWay('cache-left'));
    tried += wrong.length;
    caught += wrong.filter(({ faults }) => faults.length > 0).length;
  }
  return {
    cases: right.length,
    unwritten: right.filter(({ isUnwritten }) => isUnwritten).length,
    control: { name, cases: tried, caught },
    failures: right.flatMap(({ faults }) => faults),
  };
}

interface Case {
  readonly system: System;
  /** In KiB. */
  readonly free: number;
}

interface Full {
  readonly isUnwritten: boolean;
  readonly faults: readonly string[];
}

async function onAll(folder: string, key: Key, chosen: readonly Case[], wrong: NodeJS.ProcessEnv): Promise<Full[]> {
  mkdirSync(folder);
  const cases: Full[] = [];
  for (const [system, some] of Map.groupBy(chosen, ({ system }) => system)) {
    await using undo = new Undo();
    const disk = await SmallDisk.make(join(folder, system), system, undo);
    const person = join(disk.root, 'person');
    const env = environment(key, person);
    const words = await makeVault(env);
    for (const { free } of some) {
      await using driver = await Driver.start({ ...env, ...wrong });
      await driver.ask({ do: 'open' });
      disk.fill(free * 1024);
      const asks: readonly Asked[] = [{ do: 'list' }, { do: 'search', text: [...words.values()][1]! }, { do: 'list' }];
      const faults: string[] = [];
      let last: Answer | undefined;
      for (const asked of asks) {
        last = await driver.ask(asked);
        // Only the caches are written here, so no error may be reported either.
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
