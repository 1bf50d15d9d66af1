import type { Event } from '../../src/session/event/event.ts';
import { readLines } from '../../src/session/event/lines.ts';
import { openVault } from '../../src/session/open-vault.ts';

// Reads a session as coffer does, but without checking for free memory.
const [directory, row = ''] = process.argv.slice(2);
const sessions = await openVault({ directory });
const events: Event[] = [];
await sessions.scan(await sessions.find(row), (lines) => {
  for (const event of readLines(lines)) events.push(event);
});
console.log(events.length);
