import { createHash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import type { Used } from './first-use.ts';

/*
 * Negative control: makes a key in the usual way. Looks it up; if the keychain has none, makes one,
 * puts it there and uses it. Answers each line of stdin, which names the account, with a line of
 * JSON that says which key it would seal with.
 */

interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>;
  setPassword(service: string, account: string, password: string): Promise<void>;
}

const keytar = createRequire(import.meta.url)('keytar') as Keytar;
const SERVICE = 'coffer-wrong';

process.stdout.write('ready\n');
for await (const account of createInterface({ input: process.stdin })) {
  const used: Used = { again: 0 };
  try {
    used.key = createHash('sha256')
      .update(await keyOf(account))
      .digest('hex');
  } catch (error) {
    used.error = String(error);
  }
  process.stdout.write(`${JSON.stringify(used)}\n`);
}

async function keyOf(account: string): Promise<string> {
  const there = await keytar.getPassword(SERVICE, account);
  if (there !== null) return there;
  const made = randomBytes(32).toString('base64');
  await keytar.setPassword(SERVICE, account, made);
  return made;
}
