import { describe, expect, it } from 'vitest';
import { type FileSystems, networkFileSystem } from '../../src/files/network.ts';

const FUSE = 0x65735546;
const isLinux = process.platform === 'linux';

function systems(type: number, mounts = '', device = 0x2fn): FileSystems {
  return { type: () => type, device: () => device, mounts: () => mounts };
}

function nameOf(looking: FileSystems): string | undefined {
  return networkFileSystem('/tmp', looking);
}

/** Lines of /proc/self/mountinfo. */
function mountLine(device: string, type: string): string {
  return `36 35 ${device} / /mnt/a rw,noatime shared:7 - ${type} source rw,errors=continue\n`;
}

describe.runIf(isLinux)('networkFileSystem', () => {
  it.each([
    [0x6969, 'nfs'],
    [0xff534d42, 'cifs'],
    [0xff534d42 - 2 ** 32, 'cifs'],
    [0xfe534d42, 'smb2'],
    [0x01021997, '9p'],
    [0x5346414f, 'afs'],
    [0x00c36400, 'ceph'],
    [0x0bd00bd0, 'lustre'],
    [0x01161970, 'gfs2'],
    [0x7461636f, 'ocfs2'],
    [0x73757245, 'coda'],
  ])('recognises %i as %s', (type, name) => {
    expect(nameOf(systems(type))).toBe(name);
  });

  it.each([
    ['ext4', 0xef53],
    ['tmpfs', 0x01021994],
    ['xfs', 0x58465342],
    ['btrfs', 0x9123683e],
    ['overlayfs', 0x794c7630],
    ['zfs', 0x2fc12fc1],
  ])('does not recognise %s', (_, type) => {
    expect(nameOf(systems(type))).toBeUndefined();
  });

  it.each([
    ['fuse.sshfs', 'sshfs'],
    ['fuse.rclone', 'rclone'],
    ['fuse.glusterfs', 'glusterfs'],
    ['virtiofs', 'virtiofs'],
    ['fuse.gocryptfs', undefined],
    ['fuseblk', undefined],
    ['fuse', undefined],
  ])('looks up the file system of a FUSE mount: %s', (type, name) => {
    const mounts = mountLine('0:46', 'fuse.rclone') + mountLine('0:47', type) + mountLine('8:1', 'ext4');
    expect(nameOf(systems(FUSE, mounts))).toBe(name);
  });

  it('finds the mount of a device with large numbers', () => {
    // makedev(0x12345, 0x6789a) of the C library.
    const device = 0x120006783459an;
    expect(nameOf(systems(FUSE, mountLine(`${0x12345}:${0x6789a}`, 'fuse.sshfs'), device))).toBe('sshfs');
    expect(nameOf(systems(FUSE, mountLine(`${0x345}:${0x9a}`, 'fuse.sshfs'), device))).toBeUndefined();
  });

  it('returns undefined if a FUSE mount can’t be found or read', () => {
    expect(nameOf(systems(FUSE))).toBeUndefined();
    const refuse = (): never => {
      throw Object.assign(new Error('denied'), { code: 'EACCES', errno: -13, syscall: 'open' });
    };
    expect(nameOf({ ...systems(FUSE), mounts: refuse })).toBeUndefined();
    expect(() => nameOf({ ...systems(FUSE), mounts: () => JSON.parse('{') as string })).toThrow(SyntaxError);
  });

  it('checks the parent of a path that doesn’t exist yet', () => {
    const asked: string[] = [];
    const looking: FileSystems = { ...systems(0x6969), type: (path) => asked.push(path) && 0x6969 };
    expect(networkFileSystem('/tmp/coffer-not-there/a/b', looking)).toBe('nfs');
    expect(asked).toEqual(['/tmp']);
  });

  it('recognises the file systems of this machine', () => {
    for (const path of ['/tmp', '/dev/shm', '/proc']) expect(networkFileSystem(path)).toBeUndefined();
  });
});
