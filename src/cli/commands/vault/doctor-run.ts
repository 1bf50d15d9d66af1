import { relative } from 'node:path';
import { CofferError, type ErrorCode, errorFields, isCofferError } from '../../../errors.ts';
import { isKnown } from '../../../session/event/event.ts';
import { conflictProblem, describeConflict } from '../../../session/list/conflicts.ts';
import type { Row } from '../../../session/list/row.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { Inspection, Recorded } from '../../../session/shapes.ts';
import { escapeJson, shellWord } from '../../../terminal/output/escape.ts';
import { describeSeen } from '../../../terminal/output/rows.ts';
import type { Terminal } from '../../../terminal/output/terminal.ts';
import type { Shell } from '../../command.ts';
import { openSessions } from '../../shell.ts';

/**
 * Checks the vault, reading every sealed file completely, and prints what is wrong, what it means
 * and what to do. Changes nothing. With `json`, prints one object that contains the lines. Returns
 * the first problem, which was already printed.
 */
export async function doctor(
  shell: Shell,
  { json = false }: { json?: boolean | undefined } = {},
): Promise<CofferError | undefined> {
  const lines: string[] = [];
  const terminal: Report = json ? { say: (line) => void lines.push(line) } : shell.terminal;
  const { sessions, input } = await openSessions(shell);
  try {
    const found = await sessions.upkeep.inspect();
    terminal.say(`vault: ${found.directory}${found.exists ? '' : ' (does not exist yet; the first chat creates it)'}`);
    if (found.networkWarning !== undefined) terminal.say(`  ${found.networkWarning}`);
    tellStrangers(terminal, found);
    const problems = [
      await checkKey(terminal, sessions, found),
      checkModes(terminal, found),
      checkPlaces(terminal, found),
      await checkFiles(terminal, sessions, found),
      checkConflicts(terminal, found),
      checkSeen(terminal, found),
    ];
    tellQuarantine(terminal, found);
    const first = problems.find((problem) => problem !== undefined);
    terminal.say(first === undefined ? 'no problems found' : 'problems found');
    const { directory } = found;
    const report = { directory, well: first === undefined, error: first && errorFields(first), report: lines };
    if (json) shell.terminal.write(`${escapeJson(report)}\n`);
    return first;
  } finally {
    input.close();
  }
}

/** Receives the findings, one line each. */
type Report = Pick<Terminal, 'say'>;

/** Checks that the key is available. Doesn't create one for a vault that has none. */
async function checkKey(terminal: Report, sessions: Sessions, found: Inspection): Promise<CofferError | undefined> {
  const { vaultFile, vaultFileError, sealedFiles } = found;
  if (vaultFile === undefined && vaultFileError === undefined && sealedFiles === 0) {
    terminal.say('key: none yet');
    return undefined;
  }
  if (vaultFile !== undefined)
    terminal.say(`key: ${vaultFile.key}, kept by ${vaultFile.backend} (${vaultFile.provider})`);
  try {
    await sessions.keys.unlock();
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return tellProblem(terminal, error);
  }
  if (sessions.keys.record.distrust !== undefined) return tellProblem(terminal, sessions.keys.record.distrust);
  terminal.say('  available');
  if (vaultFile?.retiring !== undefined) {
    terminal.say('  a key rotation was interrupted; coffer key rotate finishes it');
  }
  if (vaultFile !== undefined && needsCode(vaultFile)) {
    terminal.say('  no recovery code: coffer key recovery-code creates one');
  }
  return undefined;
}

/** Whether a recovery code is missing. A key passed by descriptor is kept by its owner. */
function needsCode({ backend, slots }: NonNullable<Inspection['vaultFile']>): boolean {
  return backend !== 'fd' && slots.every(({ kind }) => kind !== 'recovery');
}

function checkModes(terminal: Report, found: Inspection): CofferError | undefined {
  if (found.exists)
    terminal.say(`permissions: ${found.looseModes.length === 0 ? 'only you can read it' : 'need fixing'}`);
  let first: CofferError | undefined;
  for (const { path, mode, expected } of found.looseModes) {
    const is = `${path} has mode ${mode.toString(8)} instead of ${expected.toString(8)}`;
    first ??= new CofferError('FAILED', is);
    terminal.say(`  ${is}; fix it with chmod ${expected.toString(8)}`);
  }
  return first;
}

/**
 * Reports misplaced entries, except those reported elsewhere: sealed files with their rows, and
 * `seen`.
 */
function checkPlaces(terminal: Report, { directory, misplaced }: Inspection): CofferError | undefined {
  const told = misplaced.filter(
    ({ path }) => !/sessions.[0-9a-f]{32}$|seen$|vault\.json$/.test(relative(directory, path)),
  );
  const problems = told.map(
    ({ path, is }) => new CofferError('FAILED', `${path} is ${is}`, { advice: 'move it away' }),
  );
  for (const problem of problems) terminal.say(`  ${problem.message}`);
  return problems[0];
}

async function checkFiles(terminal: Report, sessions: Sessions, found: Inspection): Promise<CofferError | undefined> {
  terminal.say(`files: ${found.sealedFiles} sealed, ${found.quarantined.length} in quarantine`);
  if (found.strayTemps > 0)
    terminal.say(`  ${found.strayTemps} left by a crash; the next save of their session removes them`);
  let first: CofferError | undefined;
  for (const row of found.rows) {
    const read = row.unreadable ?? (await readWhole(sessions, row));
    const problem = read instanceof CofferError ? read : undefined;
    if (problem !== undefined) tellProblem(terminal, problem, row.fileId);
    if ('events' in read) tellUnknown(terminal, read);
    if (row.torn !== undefined && problem === undefined)
      terminal.say(`  ${row.fileId}: ${row.torn}; the next save of that session repairs it`);
    if (row.rolledBack !== undefined) terminal.say(`  ${row.fileId}: ${row.rolledBack}; ${rolledBackAdvice}`);
    first ??= problem ?? (row.rolledBack === undefined ? undefined : new CofferError('ROLLED_BACK', row.rolledBack));
  }
  return first;
}

/** Reports copies under other names. Without a key only their headers are known. */
function checkConflicts(terminal: Report, { conflicts, conflicting }: Inspection): CofferError | undefined {
  const read = new Set(conflicts.map(({ name }) => name));
  for (const name of conflicting.filter((name) => !read.has(name)))
    terminal.say(`  ${name} is a sealed file under another name; its content can't be checked without the key`);
  for (const conflict of conflicts) terminal.say(`  ${describeConflict(conflict, shellWord(conflict.name))}`);
  const problems = conflicts.map((conflict) => conflictProblem(conflict, shellWord(conflict.name)));
  return problems.find((problem) => problem !== undefined);
}

/** Reports problems with the rollback marks. */
function checkSeen(terminal: Report, { seen }: Inspection): CofferError | undefined {
  const lines = describeSeen(seen);
  for (const line of lines) terminal.say(`  ${line}`);
  if (lines[0] === undefined) return undefined;
  return new CofferError(seen?.error?.code ?? (seen?.state === 'missing' ? 'FAILED' : 'ROLLED_BACK'), lines[0]);
}

const rolledBackAdvice =
  'restore the newer one from a backup, or continue from this one with coffer resume --accept-older; coffer export reads it';

/**
 * Lists the quarantined files. They are left for the user to decide on, and aren't problems of the
 * vault.
 */
function tellQuarantine(terminal: Report, { quarantined }: Inspection): void {
  if (quarantined.length === 0) return;
  terminal.say('quarantine:');
  for (const { name, note } of quarantined) terminal.say(`  ${name}: ${note ?? 'no note'}`);
  terminal.say('  coffer salvage <name> restores its session; once not needed, remove the file and its note by hand');
}

function tellStrangers(terminal: Report, { strangers }: Inspection): void {
  if (strangers.length === 0) return;
  const more = strangers.length > STRANGERS ? ', …' : '';
  const names = strangers.slice(0, STRANGERS).join(', ');
  terminal.say(`  not made by coffer, and left alone: ${names}${more}`);
}

/** Maximum number of foreign files that are named. */
const STRANGERS = 10;

/**
 * Reports events that this version can't interpret: those of a newer version, or of an earlier one
 * that recorded something it could not read.
 */
function tellUnknown(terminal: Report, { row, events }: Recorded): void {
  const unknown = events.filter((event) => !isKnown(event));
  const [first] = unknown;
  if (first === undefined) return;
  const what =
    unknown.length === 1 ? `event ${first.id}` : `${unknown.length} events, the first of them event ${first.id}`;
  terminal.say(
    `  ${row.fileId}: this version of coffer can't interpret ${what}; kept as recorded, update coffer to see more`,
  );
}

/** Reads a whole file, because a list verifies only its first chunk. */
async function readWhole(sessions: Sessions, row: Row): Promise<Recorded | CofferError> {
  try {
    return await sessions.read(row);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error;
  }
}

function adviceOn(code: ErrorCode, fileId: string): string | undefined {
  if (code === 'NEWER_VERSION') return 'update coffer to open it';
  if (code === 'KEY_OTHER') return 'it came from another vault; restore that key, or move the file to its vault';
  if (code !== 'UNAUTHENTIC') return undefined;
  const salvage = fileId === '' ? '' : `coffer salvage ${fileId} recovers what verifies, or `;
  return `it is damaged or was changed, and was left as it is; ${salvage}restore it from a backup`;
}

/** Prints a problem, and what to do if its message doesn't say so. */
function tellProblem(terminal: Report, problem: CofferError, fileId = ''): CofferError {
  const what = problem.advice === undefined ? adviceOn(problem.code, fileId) : undefined;
  terminal.say(`  ${problem.message}${what === undefined ? '' : `; ${what}`}`);
  return problem;
}
