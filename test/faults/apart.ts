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
 * folders are in the campaign's own, which a shell outside of the namespaces removes.
 */

/** How long the kernel may take to unmount what nobody uses any more, in milliseconds. */
const PATIENCE = 10_000;

const NAMESPACES: readonly string[] = ['--pid', '--mount', '--fork', '--kill-child', '--mount-proc'];

/** Runs a program, and removes its folder when it has ended, even if the process that started it was killed. */
const REMOVING = 'folder=$1; shift; "$@"; code=$?; rm -rf -- "$folder"; exit "$code"';

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
  /** The loop devices that the program had when it was ended: the path of their files is lost with the mounts. */
  #loops: readonly Loop[] = [];

  /** Starts a program of Node with its folder as the last argument; `told` gets each line that it prints. */
  constructor(args: readonly string[], told: (line: string) => void) {
    this.folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
    const temp = join(this.folder, 'temp');
    mkdirSync(temp);
    const command = [...namespaces(), process.execPath, ...args, this.folder];
    this.#child = spawn('sh', ['-c', REMOVING, 'sh', this.folder, ...command], {
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

/** The first process of the namespace that the `unshare` of a shell has made; undefined without namespaces. */
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

/** A loop device, the file it is attached to, and the number of that file with its device's, which no other file has. */
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
