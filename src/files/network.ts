import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isSystemError } from './reason.ts';

/** The system's information about file systems; replaced in tests. */
export interface FileSystems {
  /** The `f_type` of statfs(2). */
  type(path: string): number;
  /** The `st_dev` of stat(2). */
  device(path: string): bigint;
  /** The content of /proc/self/mountinfo. */
  mounts(): string;
}

/**
 * Returns the name of the network file system that a path is on, or will be once created: `nfs`.
 * Returns undefined for any other file system, if the system can't tell, and everywhere but on
 * Linux: macOS numbers file systems in the order they were loaded, Windows doesn't number them.
 */
export function networkFileSystem(path: string, systems: FileSystems = linux): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const there = nearest(resolve(path));
  try {
    const type = systems.type(there) >>> 0;
    return types.get(type) ?? (type === FUSE ? networkMount(systems.mounts(), systems.device(there)) : undefined);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined; // only a warning is lost; opening the path will report the error
  }
}

function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/**
 * Returns the network file system of a FUSE mount, found by its device: all of them have the same
 * type.
 */
function networkMount(mounts: string, device: bigint): string | undefined {
  const wanted = deviceName(device);
  for (const line of mounts.split('\n')) {
    // proc_pid_mountinfo(5): ID, parent, device, root, mount point, options, optional fields, dash,
    // type, source.
    const [, mounted] = /^\d+ \d+ (\d+:\d+) /.exec(line) ?? [];
    const [, type] = / - (\S+) /.exec(line) ?? [];
    if (mounted !== wanted || type === undefined) continue;
    const name = type.replace(/^fuse\./, '');
    return networkMounts.has(name) ? name : undefined;
  }
  return undefined;
}

/** Returns `major:minor`, decoded as makedev(3) encodes them. */
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

/** The types listed in Linux's statfs(2) and in the sources of the file systems. */
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
