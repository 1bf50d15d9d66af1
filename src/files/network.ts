import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isSystemError } from './reason.ts';

/** What the system says of file systems; another one is for tests. */
export interface FileSystems {
  /** The `f_type` of statfs(2). */
  type(path: string): number;
  /** The `st_dev` of stat(2). */
  device(path: string): bigint;
  /** What /proc/self/mountinfo says. */
  mounts(): string;
}

/**
 * Names the network file system that a path is on, or will be once it is made: `nfs`. Undefined for any other, where the system
 * can't say, and everywhere but on Linux: macOS numbers file systems in the order they were loaded in, Windows not at all.
 */
export function networkFileSystem(path: string, systems: FileSystems = linux): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const there = nearest(resolve(path));
  try {
    const type = systems.type(there) >>> 0;
    return types.get(type) ?? (type === FUSE ? networkMount(systems.mounts(), systems.device(there)) : undefined);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // a warning that can't be given is no reason to fail: whoever opens the path says why it can't be
  }
}

function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/** The file system behind a FUSE mount, by its device: all of them have the same type. */
function networkMount(mounts: string, device: bigint): string | undefined {
  const wanted = deviceName(device);
  for (const line of mounts.split('\n')) {
    // ID, parent, device, root, mount point, options, optional fields, a dash, type, source: proc_pid_mountinfo(5).
    const [, mounted] = /^\d+ \d+ (\d+:\d+) /.exec(line) ?? [];
    const [, type] = / - (\S+) /.exec(line) ?? [];
    if (mounted !== wanted || type === undefined) continue;
    const name = type.replace(/^fuse\./, '');
    return networkMounts.has(name) ? name : undefined;
  }
  return undefined;
}

/** `major:minor`, as makedev(3) puts them together. */
function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

const linux: FileSystems = {
  type: (path) => statfsSync(path).type,
  device: (path) => statSync(path, { bigint: true }).dev,
  mounts: () => readFileSync('/proc/self/mountinfo', 'utf8'),
};

const FUSE = 0x65735546;

/** Linux's statfs(2) and the sources of the file systems name these. */
const types: ReadonlyMap<number, string> = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x01021997, '9p'],
  [0x5346414f, 'afs'],
  [0x6b414653, 'afs'],
  [0x73757245, 'coda'],
  [0x564c, 'ncp'],
  [0x00c36400, 'ceph'],
  [0x0bd00bd0, 'lustre'],
  [0x01161970, 'gfs2'],
  [0x7461636f, 'ocfs2'],
  [0x47504653, 'gpfs'],
  [0x20030528, 'orangefs'],
  [0x19830326, 'beegfs'],
  [0x786f4256, 'vboxsf'],
  [0xbacbacbc, 'vmhgfs'],
]);

const networkMounts: ReadonlySet<string> = new Set([
  ...['sshfs', 'rclone', 'glusterfs', 'ceph-fuse', 'cephfs', 'davfs', 'davfs2', 'curlftpfs', 'smbnetfs', 'gvfsd-fuse'],
  ...['s3fs', 'mountpoint-s3', 'goofys', 'gcsfuse', 'blobfuse', 'blobfuse2', 'google-drive-ocamlfuse', 'onedriver'],
  ...['juicefs', 'seaweedfs', 'mfs', 'moosefs', 'lizardfs', 'hdfs', 'virtiofs', 'vmhgfs-fuse', 'grpcfuse'],
]);
