/**
 * The child process that keytar runs in. A keychain call that waits for a prompt never returns, and
 * a process that made one cannot exit; this process is killed instead. It reads one request from
 * stdin and writes its replies to stdout, one line each: see `BrokerProcess`.
 */
import { createRequire } from 'node:module';
import type { BrokerReply, BrokerRequest } from './broker-process.ts';

interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>;
  setPassword(service: string, account: string, password: string): Promise<void>;
  deletePassword(service: string, account: string): Promise<boolean>;
}

const keytar = load();
say(keytar ? { value: null } : { absent: true });

let received = '';
process.stdin.setEncoding('utf8').on('data', (part: string) => {
  received += part;
  if (received.endsWith('\n') && keytar) void serve(keytar, JSON.parse(received) as BrokerRequest);
});
// The parent is gone: a call that hangs must not outlive it.
process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'));

function load(): Keytar | undefined {
  try {
    return createRequire(import.meta.url)('keytar') as Keytar;
  } catch {
    // Whatever the reason (not installed, no libsecret, another libc), the addon counts as absent.
    return undefined;
  }
}

async function serve(addon: Keytar, { operation, service, account, secret }: BrokerRequest): Promise<void> {
  try {
    if (operation === 'get') say({ value: await addon.getPassword(service, account) });
    if (operation === 'delete') say({ value: String(await addon.deletePassword(service, account)) });
    if (operation === 'set') {
      await addon.setPassword(service, account, secret);
      // setPassword also succeeds if the unlock prompt was dismissed and nothing was written; only
      // reading back tells.
      const kept = await addon.getPassword(service, account);
      say({ value: kept === null ? null : String(kept === secret) });
    }
  } catch (error) {
    say({ error: String((error as Error).message) });
  }
}

function say(reply: BrokerReply): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
