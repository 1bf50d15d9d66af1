import { NativeKeyring } from '../../src/keyring/fallback.ts';
import { UNATTENDED } from '../../src/keyring/patience.ts';

/* Looks up a key as coffer does on a Mac without the addon, and prints the outcome. */

const keyring = new NativeKeyring('security', process.env, UNATTENDED, 'darwin');
const keyId = '00112233445566778899aabbccddeeff';
const answers = [
  await keyring.probe(),
  await keyring.get(keyId),
  await keyring.set(keyId, Buffer.alloc(32, 1)),
  await keyring.delete(keyId),
];
process.stdout.write(JSON.stringify(answers));
