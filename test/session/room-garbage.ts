import { getHeapStatistics } from 'node:v8';
import { Room } from '../../src/vault/file/room.ts';

const MIB = 2 ** 20;

// Fills the heap until no session would fit, drops or keeps all of it, and asks for room.
const filled: object[] = [];
while (getHeapStatistics().used_heap_size < 64 * MIB) {
  for (let at = 0; at < 1000; at++) filled.push({ at });
}
if (process.argv[2] === 'dropped') filled.length = 0;
new Room('a session').require(MIB, 0);
if (filled.length > 1) filled.pop(); // in use until here
