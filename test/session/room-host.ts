import { Room } from '../../src/vault/file/room.ts';

const MIB = 2 ** 20;
const [filling, session] = process.argv.slice(2);

// A program that fills its heap, keeps or drops what it made, and then opens a session.
const held: object[] = [];
fill(held, 50);
if (filling === 'garbage') held.length = 0;

if (session === 'forced') globalThis.gc?.();
const room = new Room('a session');
room.require(MIB, 0);
const events: object[] = [];
if (session === 'growing') {
  for (let at = 0; at < 100; at++) {
    fill(events, 1);
    room.require(MIB, 0);
  }
}
console.log('opened', held.length + events.length);

/** Adds objects that take about this much of the heap, with their place in the list. */
function fill(list: object[], mebibytes: number): void {
  for (let at = 0; at < mebibytes * 26_000; at++) list.push({ at });
}
