import { isKnown } from '../../src/session/event/event.ts';
import { textOf } from '../../src/session/event/message-text.ts';
import { openVault } from '../../src/session/open-vault.ts';
import type { Found, FoundFile } from './driven.ts';

/*
 * A fresh process that checks what a fault left behind: opens the vault and every sealed file in it
 * from end to end, and prints one line of JSON. With `go-on` it then does what a user does next:
 * resumes the session that `_autosave` points at (or begins one), saves a step and closes. With
 * `anew` it begins another session. COFFER_DATA_DIR and COFFER_KEYCHAIN work as for coffer itself.
 */

const found: Found = { files: [] };
try {
  await using vault = await openVault();
  found.key = vault.keys.status.state === 'ready' ? vault.keys.status.keyId : undefined;
  for (const row of await vault.list()) {
    const { fileId, label, kind, torn, unreadable, rolledBack } = row;
    // No older copy is ever put back here: an alarm is a false one, as bad as a file that does not
    // open.
    const error = unreadable?.code ?? (rolledBack === undefined ? undefined : 'ROLLED_BACK');
    const file: FoundFile = { fileId, label, kind, torn, error, texts: [] };
    found.files.push(file);
    if (unreadable) continue;
    try {
      const { events, state } = await vault.read(row);
      file.texts = state.messages.map(({ content }) =>
        typeof content === 'string' ? (content.split(' ')[0] ?? '') : '',
      );
      file.partial = events.flatMap((event) => {
        return isKnown(event) && event.type === 'message' && event.partial ? [textOf(event.message)] : [];
      });
    } catch (error) {
      file.error = String((error as NodeJS.ErrnoException).code ?? error);
    }
  }
  if (process.argv.includes('go-on')) {
    const rows = await vault.list();
    const last = rows.find((row) => row.autosave && !row.unreadable);
    const session = last ? await vault.resume(last) : vault.begin({ directory: '/work/project', model: 'demo/echo' });
    await session.append({ type: 'message', message: { role: 'user', content: 'went-on' } });
    await session.close();
    found.wentOn = session.fileId;
  }
  if (process.argv.includes('anew')) {
    const session = vault.begin({ directory: '/work/project', model: 'demo/echo' });
    await session.append({ type: 'message', message: { role: 'user', content: 'anew' } });
    await session.close();
  }
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  found.error = { code: String(code ?? 'BUG'), message };
}
process.stdout.write(`${JSON.stringify(found)}\n`);
