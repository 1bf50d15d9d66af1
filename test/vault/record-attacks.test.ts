import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordAttacks } from '../faults/record-attacks.ts';
import { judgeAttack } from '../faults/record-judge.ts';
import { Scene } from '../faults/record-scene.ts';
import { temporaryFolder } from '../support/vault.ts';

describe('a vault.json that something else wrote', () => {
  it.each([
    ['of a vault at rest', false, true],
    ['of a vault whose rotation was interrupted', true, true],
    ['of a vault at rest that is not known yet', false, false],
  ])('%s is named, drops no key, seals nothing anew, and every session is read', async (_, isRotating, isKnown) => {
    const scene = await Scene.make(join(temporaryFolder(), 'scene'), isRotating);
    const attacks = recordAttacks(scene);
    expect(attacks.length).toBeGreaterThan(50);
    const failures: string[] = [];
    for (const attack of attacks) failures.push(...(await judgeAttack(scene, attack, isKnown)).failures);
    expect(failures).toEqual([]);
  });
});
