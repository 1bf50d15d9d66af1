import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/*
 * A campaign starts daemons that leave its process group, mounts file systems and attaches loop
 * devices. So it runs in its own PID namespace and mount namespace. When the first process of the
 * PID namespace ends, for whatever reason, the kernel kills all others, and the mounts go with the
 * last of them. That first process is a shell, which reaps orphans. `unshare` ends after it, so
 * nothing of the campaign still runs once `unshare` has ended. Loop devices detach when no process
 * has them open (see `attachLoop`), and all temporary folders are inside the campaign's folder,
 * which a shell outside the namespaces removes.
 */

/** Time the kernel may take to unmount unused file systems, in milliseconds. */
const PATIENCE = 10_000;

const NAMESPACES: readonly string[] = ['--pid', '--mount', '--fork', '--kill-child', '--mount-proc'];

/**
 * Runs a program, and removes its folder when it has ended, even if the process that started it was
 * killed.
 */
const REMOVING = 'folder=$1; shift; "$@"; code=$?; rm -rf -- "$folder"; exit "$code"';

/** Runs a program as a child of the namespace's first process. */
const INIT: readonly string[] = ['sh', '-c', '"$@"; exit $?', 'sh'];

/** A program in its own namespaces, with a folder that is removed when it ends. */
export class Apart {
  /** Its folder, which exists until `ended` resolves. */
  readonly folder: string;
  /** Resolves with its exit code once nothing of it is left. */
  readonly ended: Promise<number | null>;
  /**
   * Leftovers that were removed because the program ended before it cleaned up, one phrase each.
   * Complete once `ended` has resolved.
   */
  readonly cleaned: string[] = [];
  readonly #child: ChildProcess;
  /**
   * The loop devices the program had when it was ended. The paths of their files are lost with the
   * mounts.
   */
  #loops: readonly Loop[] = [];

  /**
   * Starts a program of Node with its folder as the last argument. `told` receives each line it
   * prints.
   */
  constructor(args: readonly string[], told: (line: string) => void) {
    this.folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
    const temp = join(this.folder, 'temp');
    mkdirSync(temp);
    const command = [...namespaces(), process.execPath, ...args, this.folder];
    this.#child = spawn('sh', ['-c', REMOVING, 'sh', this.folder, ...command], {
      // Its standard input ends when this process does. Then the program ends.
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
    this.#loops = loops().filter(({ file }) => file.startsWith(`${this.folder}/`));
    if (init === undefined) process.kill(-pid, 'SIGKILL');
    else {
      const [processes, mounts] = [countProcesses(init), countMounts(init, this.folder)];
      if (processes > 0) this.cleaned.push(`ended ${processes} processes`);
      if (mounts > 0) this.cleaned.push(`unmounted ${mounts} file systems`);
      process.kill(init, 'SIGKILL');
    }
  }

  async #clean(isBroken: boolean): Promise<void> {
    const left = (): string[] => {
      const had = new Set(this.#loops.map(({ device, inode }) => `${device} ${inode}`));
      const isOurs = ({ device, inode, file }: Loop): boolean =>
        file.startsWith(`${this.folder}/`) || had.has(`${device} ${inode}`);
      return loops().flatMap((loop) => (isOurs(loop) ? [loop.device] : []));
    };
    for (const until = Date.now() + PATIENCE; left().length > 0 && Date.now() < until; ) await pause(50);
    const devices = left();
    for (const device of devices) spawnSync('losetup', ['--detach', device]);
    if (devices.length > 0) this.cleaned.push(`detached ${devices.join(' ')}`);
    rmSync(this.folder, { recursive: true, force: true });
    if (isBroken) this.cleaned.push(`removed ${this.folder}`);
  }
}

/**
 * Returns whether programs are put into namespaces. Without root the kernel must allow user
 * namespaces.
 */
export function hasNamespaces(): boolean {
  return namespaces().length > 0;
}

let found: readonly string[] | undefined;

/**
 * Returns the command prefix that puts a program into namespaces, empty if this machine doesn't
 * allow that.
 */
function namespaces(): readonly string[] {
  if (found) return found;
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-current-user'];
  const command = [...user, ...NAMESPACES];
  found = spawnSync('unshare', [...command, 'true']).status === 0 ? ['unshare', ...command, ...INIT] : [];
  return found;
}

/**
 * Returns the first process of the namespace made by a shell's `unshare`, undefined without
 * namespaces.
 */
function firstOf(shell: number): number | undefined {
  if (!hasNamespaces()) return undefined;
  const unshare = childOf(shell);
  return unshare === undefined ? undefined : childOf(unshare);
}

function childOf(pid: number): number | undefined {
  const [child] = read(`/proc/${pid}/task/${pid}/children`).split(' ');
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

/** A loop device, its file, and the file's inode and device numbers, which identify it uniquely. */
interface Loop {
  readonly device: string;
  readonly inode: string;
  readonly file: string;
}

function loops(): Loop[] {
  const columns = 'NAME,BACK-INO,BACK-MAJ:MIN,BACK-FILE';
  const { stdout } = spawnSync('losetup', ['--list', '--noheadings', '--raw', '--output', columns], {
    encoding: 'utf8',
  });
  return (stdout ?? '').split('\n').flatMap((line) => {
    const [device, inode, numbers, file] = line.split(' ');
    return device && file ? [{ device, inode: `${inode} ${numbers}`, file }] : [];
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}
