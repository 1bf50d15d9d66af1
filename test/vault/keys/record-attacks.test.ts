import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordAttacks } from '../../faults/record-attacks.ts';
import { judgeAttack } from '../../faults/record-judge.ts';
import { Scene, said } from '../../faults/record-scene.ts';
import { temporaryFolder } from '../../support/vault.ts';

describe('a vault.json that something else wrote', () => {
  it.each([
    ['of a vault at rest', false, true],
    ['of a vault whose rotation was interrupted', true, true],
    ['of a vault at rest that is not known yet', false, false],
  ])('%s is reported, drops no key, reseals nothing, and every session can be read', async (_, isRotating, isKnown) => {
    const scene = await Scene.make(join(temporaryFolder(), 'scene'), isRotating);
    const attacks = recordAttacks(scene);
    expect(attacks.length).toBeGreaterThan(50);
    const failures: string[] = [];
    for (const attack of attacks) failures.push(...(await judgeAttack(scene, attack, isKnown)).failures);
    expect(failures).toEqual([]);
  });

  it('causes nothing that the retiring key opened to be resealed, even by resuming it', async () => {
    const scene = await Scene.make(join(temporaryFolder(), 'scene'), true);
    scene.put({ ...scene.record, provider: 'somebody else' });
    const before = scene.files();
    const vault = scene.sessions();
    const rows = (await vault.list()).filter(({ fileId }) => {
      return before.get(fileId)?.subarray(12, 28).toString('hex') === scene.record['retiring'];
    });
    expect(rows).toHaveLength(1);
    for (const row of rows) {
      const goOn = async (): Promise<void> => (await vault.resume(row)).append(said('more'));
      await expect(goOn()).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
    }
    expect(scene.files()).toEqual(before);
  });
});
