import { isCofferError } from '../../src/errors.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Sessions } from '../../src/session/sessions.ts';
import type { RecordAttack } from './record-attacks.ts';
import { ANSWERING, type Json, type Scene, said } from './record-scene.ts';

/** The outcome for a vault whose vault.json was attacked. */
export interface Judged {
  /** Dropped keys, and sessions that can't be read any more. */
  lost: number;
  /** Attacks that went unnoticed, and files sealed for another key. */
  accepted: number;
  readonly failures: string[];
}

/**
 * Attacks a vault.json, opens the vault as any program does, and uses it. No key may be dropped and
 * no file resealed, the fault must be named, and every session must be readable. If the key is
 * known, a new session is sealed with it, and a repair fixes everything. If not, nothing new is
 * sealed.
 */
export async function judgeAttack(scene: Scene, attack: RecordAttack, isKnown: boolean = true): Promise<Judged> {
  const judged: Judged = { lost: 0, accepted: 0, failures: [] };
  const fail = (what: string, kind?: 'lost' | 'accepted'): void => {
    if (kind) judged[kind]++;
    judged.failures.push(`${attack.what}: ${what}`);
  };
  scene.put(attack.json, isKnown);
  const keys = [...scene.keyring.secrets.keys()];
  const files = scene.files();
  const record = scene.recordBytes();
  const vault = await openVault(scene.options).catch((error: unknown) => error);
  const unchanged = (when: string): void => {
    for (const keyId of keys) if (!scene.keyring.secrets.has(keyId)) fail(`key ${keyId} was dropped ${when}`, 'lost');
    const now = scene.files();
    for (const [name, bytes] of files)
      if (!now.get(name)?.equals(bytes)) fail(`${name} was resealed ${when}`, 'accepted');
    if (scene.recordBytes() !== record) fail(`vault.json was written ${when}`, 'accepted');
  };
  unchanged('at the opening');
  if (vault instanceof Error) {
    fail(`it does not open: ${vault.message}`, 'lost');
    return judged;
  }
  await judgeOpened(scene, vault as Sessions, fail, isKnown);
  unchanged('by its use');
  if (isKnown) await judgeRepaired(scene, attack, fail);
  return judged;
}

type Fail = (what: string, kind?: 'lost' | 'accepted') => void;

async function judgeOpened(scene: Scene, vault: Sessions, fail: Fail, isKnown: boolean): Promise<void> {
  const named = vault.keys.record.distrust;
  if (named?.code !== 'UNAUTHENTIC' || !named.message.includes('vault.json')) fail('it is not named', 'accepted');
  await readAll(scene, vault, fail);
  const refused: [string, () => Promise<unknown>][] = [
    ['adding a slot', () => vault.keys.slots.addRecoveryCode(async (code) => code)],
    ['rotating', () => vault.keys.rotate(ANSWERING)],
  ];
  for (const [verb, attempt] of refused) {
    const code = await codeOf(attempt);
    if (code !== 'UNAUTHENTIC') fail(`${verb} says ${code}`, 'accepted');
  }
  if (await vault.keys.finishRotation()) fail('it resumes a rotation', 'accepted');
  const before = new Set(scene.files().keys());
  const session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
  const code = await codeOf(() => session.append(said('meanwhile')));
  const expected = isKnown ? 'done' : 'UNAUTHENTIC';
  if (code !== expected) fail(`a new session says ${code}`);
  await session.close().catch(() => undefined); // a session that could not be saved reports it again
  for (const [name, bytes] of scene.files()) {
    const keyId = bytes.subarray(12, 28).toString('hex');
    if (!before.has(name) && keyId !== scene.record['key']) fail(`a new session was sealed with ${keyId}`, 'accepted');
    if (!before.has(name)) await vault.delete((await vault.list()).find(({ fileId }) => fileId === name)!);
  }
}

/**
 * If the attack removed every record that there was a rotation, files remain that need the old key.
 * The repair must say so.
 */
async function judgeRepaired(scene: Scene, { json }: RecordAttack, fail: Fail): Promise<void> {
  const vault = scene.sessions();
  const repaired = await vault.keys.record.repair();
  if (!repaired || vault.keys.record.distrust) fail('it is not repaired');
  const again = scene.sessions();
  await again.keys.unlock();
  if (again.keys.record.distrust) fail(`the repair does not last: ${again.keys.record.distrust.message}`);
  const isCertified = JSON.stringify(json?.['successors'] ?? []).includes(
    JSON.stringify((scene.record['successors'] as Json[]).at(-1)),
  );
  if (isCertified || scene.record['retiring'] === undefined) await readAll(scene, again, fail);
  else if (repaired?.otherKeys.length !== 1) fail('it does not say that files need another key');
  await again.keys.finishRotation();
  await again.keys.slots.addRecoveryCode(async (code) => code);
}

async function readAll(scene: Scene, vault: Sessions, fail: Fail): Promise<void> {
  const texts = await scene.read(vault);
  if (JSON.stringify(texts) !== JSON.stringify(scene.texts)) fail('not every session can be read', 'lost');
}

async function codeOf(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
    return 'done';
  } catch (error) {
    return isCofferError(error) ? error.code : String(error);
  }
}
