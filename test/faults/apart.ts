import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/*
 * A campaign starts daemons that leave its process group, mounts file systems and attaches loop devices. So it runs in a PID namespace and
 * a mount namespace of its own. When the first process of the PID namespace ends, whatever ends it, the kernel kills all others, and with
 * the last of them the mounts go. That first process is a shell, which reaps orphans. `unshare` ends after it, so that nothing of the
 * campaign runs any more when `unshare` has ended. Loop devices detach when nobody has them open (see `attachLoop`), and all temporary
 * folders are in the campaign's own, which is removed here.
 */

/** How long the kernel may take to unmount what nobody uses any more, in milliseconds. */
const PATIENCE = 10_000;

const NAMESPACES: readonly string[] = ['--pid', '--mount', '--fork', '--kill-child', '--mount-proc'];

/** Runs a program as a child of the namespace's first process. */
const INIT: readonly string[] = ['sh', '-c', '"$@"; exit $?', 'sh'];

/** A program in namespaces of its own, with a folder that is removed at its end. */
export class Apart {
  /** Its folder, which exists until `ended` resolves. */
  readonly folder: string;
  /** Resolves with its exit code when nothing of it is left. */
  readonly ended: Promise<number | null>;
  /** What was removed because the program ended before it had done so itself, one phrase each. Complete when `ended` has resolved. */
  readonly cleaned: string[] = [];
  readonly #child: ChildProcess;

  /** Starts a program of Node with its folder as the last argument; `told` gets each line that it prints. */
  constructor(args: readonly string[], told: (line: string) => void) {
    this.folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
    const temp = join(this.folder, 'temp');
    mkdirSync(temp);
    const command = [...namespaces(), process.execPath, ...args, this.folder];
    this.#child = spawn(command[0]!, command.slice(1), {
      // Its standard input ends when this process does: the program ends itself then.
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
      env: { ...process.env, TMPDIR: temp, COFFER_FUZZ_FINDINGS: tmpdir() },
    });
    createInterface({ input: this.#child.stdout! }).on('line', told);
    const closed = new Promise<number | null>((resolve) => this.#child.once('close', resolve));
    this.ended = closed.then(async (code) => {
      await this.#clean(code !== 0);
      return code;
    });
  }

  /** Ends the program and everything it has started. */
  end(): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#child.exitCode !== null) return;
    const init = firstOf(pid);
    if (init === undefined) process.kill(-pid, 'SIGKILL');
    else {
      const [processes, mounts] = [countProcesses(init), countMounts(init, this.folder)];
      if (processes > 0) this.cleaned.push(`ended ${processes} processes`);
      if (mounts > 0) this.cleaned.push(`unmounted ${mounts} file systems`);
      process.kill(init, 'SIGKILL');
    }
  }

  async #clean(isBroken: boolean): Promise<void> {
    for (const until = Date.now() + PATIENCE; loopsOf(this.folder).length > 0 && Date.now() < until; ) await pause(50);
    const loops = loopsOf(this.folder);
    for (const loop of loops) spawnSync('losetup', ['--detach', loop]);
    if (loops.length > 0) this.cleaned.push(`detached ${loops.join(' ')}`);
    rmSync(this.folder, { recursive: true, force: true });
    if (isBroken) this.cleaned.push(`removed ${this.folder}`);
  }
}

/** Tells whether programs are put into namespaces: without root that needs a kernel that lets users make some. */
export function hasNamespaces(): boolean {
  return namespaces().length > 0;
}

let found: readonly string[] | undefined;

/** What comes before the command of a program to put it into namespaces; nothing if this machine doesn't allow that. */
function namespaces(): readonly string[] {
  if (found) return found;
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-current-user'];
  const command = [...user, ...NAMESPACES];
  found = spawnSync('unshare', [...command, 'true']).status === 0 ? ['unshare', ...command, ...INIT] : [];
  return found;
}

/** The first process of the namespace that an `unshare` has made; undefined without namespaces. */
function firstOf(unshare: number): number | undefined {
  if (!hasNamespaces()) return undefined;
  const [child] = read(`/proc/${unshare}/task/${unshare}/children`).split(' ');
  return child ? Number(child) : undefined;
}

function countProcesses(init: number): number {
  const namespace = namespaceOf(init);
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && namespaceOf(Number(name)) === namespace).length;
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // it has ended, or belongs to another user
  }
}

function countMounts(init: number, folder: string): number {
  return read(`/proc/${init}/mountinfo`).split(`${folder}/`).length - 1;
}

/** The loop devices that are attached to a file below a folder. */
function loopsOf(folder: string): string[] {
  const { stdout } = spawnSync('losetup', ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-FILE'], {
    encoding: 'utf8',
  });
  const lines = (stdout ?? '').split('\n').filter((line) => line.includes(`${folder}/`));
  return lines.flatMap((line) => line.split(' ')[0] ?? []);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}
