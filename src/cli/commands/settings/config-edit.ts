import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { CofferError, isCofferError } from '../../../errors.ts';
import { invalidSettings, readSettingsBytes, readSettingsFile } from '../../../settings/file.ts';
import { findFaults } from '../../../settings/schema.ts';
import { settingsPath } from '../../../settings/settings.ts';
import { takeSettings, writeSettings } from '../../../settings/write.ts';
import { Input } from '../../../terminal/input/input.ts';
import type { Shell } from '../../command.ts';

/** The initial content of a new settings file. */
const EMPTY = Buffer.from('{}\n');

/**
 * Opens the settings file in the user's editor, then checks it: prints faults, and restores the
 * previous content unless the user edits again. A file that already has faults can be edited too.
 * Holds the lock of the settings meanwhile. Throws `USAGE` without a terminal or an editor,
 * `CANCELLED` if the file was restored, `FAILED`, `VAULT_BUSY`, `NOT_SAVED`.
 */
export async function editConfig(shell: Shell): Promise<void> {
  const { terminal, env } = shell;
  const path = settingsPath(env);
  const editor = env['VISUAL'] || env['EDITOR'];
  if (!terminal.interactive) {
    throw new CofferError('USAGE', 'no terminal to edit on', {
      advice: `coffer config set changes one setting, the file is ${path}`,
    });
  }
  if (!editor)
    throw new CofferError('USAGE', 'no editor is set', {
      advice: `set VISUAL or EDITOR; the file is ${path}`,
    });
  using _turn = await takeSettings(path);
  const before = await readSettingsBytes(path, 'anybody');
  if (before === undefined) await writeSettings(path, EMPTY);
  for (;;) {
    const code = await runEditor(shell, editor, path);
    const after = await readSettingsBytes(path, 'anybody');
    const isUnchanged = after?.equals(before ?? EMPTY) === true;
    if (code !== 0 && isUnchanged) {
      await goBack(path, before);
      throw new CofferError('FAILED', `the editor exited with ${code}: ${editor}`, { advice: `${path} is unchanged` });
    }
    const fault = await faultOf(path);
    if (fault === undefined) {
      if (isUnchanged) await goBack(path, before);
      terminal.tell(`${path} is ${isUnchanged ? 'unchanged' : 'changed'}`);
      return;
    }
    tellFault(shell, fault);
    if (await wantsToGoBack(shell)) {
      await goBack(path, before);
      throw new CofferError('CANCELLED', `${path} was restored`);
    }
  }
}

/** Runs the editor through a shell, because it may have arguments. Returns its exit code. */
async function runEditor({ terminal, env }: Shell, editor: string, path: string): Promise<number> {
  const out = terminal.ui === terminal.streams.stdout ? 'inherit' : 2;
  const stdio = ['inherit' as const, out, 'inherit' as const] as const;
  const options = { env, stdio: [...stdio] };
  const child =
    process.platform === 'win32'
      ? spawn(`${editor} "${path}"`, { ...options, shell: true })
      : spawn('/bin/sh', ['-c', `trap : INT QUIT; ${editor} "$1"`, 'sh', path], options);
  // Ctrl+C is meant for the editor, but reaches every process in the terminal's foreground group.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore).on('SIGQUIT', ignore);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? 1;
  } finally {
    process.off('SIGINT', ignore).off('SIGQUIT', ignore);
  }
}

async function faultOf(path: string): Promise<CofferError | undefined> {
  try {
    const read = await readSettingsFile(path, 'own');
    const faults = read === undefined ? [] : findFaults(read.value);
    return faults.length > 0 ? invalidSettings(path, faults) : undefined;
  } catch (error) {
    if (isCofferError(error, 'SETTINGS_INVALID')) return error;
    throw error;
  }
}

function tellFault({ terminal }: Shell, fault: CofferError): void {
  terminal.tell(fault.message);
  if (fault.cause instanceof AggregateError) for (const { message } of fault.cause.errors) terminal.tell(message);
}

/** Asks whether to restore the file; the end of input or an interrupt means yes. */
async function wantsToGoBack({ terminal }: Shell): Promise<boolean> {
  const input = new Input(terminal);
  const stop = (): void => input.stop();
  input.onInterrupt = stop;
  input.onHangup = stop;
  process.on('SIGHUP', stop).on('SIGTERM', stop);
  try {
    for (;;) {
      const answer = await input.ask('[e]dit it again, or go [b]ack to the previous version? ');
      const letter = answer?.trim().toLowerCase();
      if (letter === 'e' || letter === 'edit') return false;
      if (letter === undefined || letter === 'b' || letter === 'back') return true;
    }
  } finally {
    process.off('SIGHUP', stop).off('SIGTERM', stop);
    input.close();
  }
}

async function goBack(path: string, before: Buffer | undefined): Promise<void> {
  if (before === undefined) await rm(path, { force: true });
  else if ((await readSettingsBytes(path, 'anybody'))?.equals(before) !== true) await writeSettings(path, before);
}
