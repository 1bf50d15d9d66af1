/*
 * A process under a guard, for signals.test.ts. Says `ready`, then does what its argument says; its final save says
 * `saved` after holding the process long enough for a second signal to arrive.
 */
import { writeSync } from 'node:fs';
import { guard, tameSignals } from '../../src/cli/signals.ts';

const say = (word: string): void => {
  writeSync(1, `${word}\n`);
};
const [how = ''] = process.argv.slice(2);
tameSignals();
const watch = guard({
  save: () => {
    say('saving');
    if (how.includes('twice')) {
      process.kill(process.pid, 'SIGTERM');
      process.kill(process.pid, 'SIGINT');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    if (how.includes('failing')) throw new Error('disk full');
    say('saved');
  },
  lost: (error) => {
    say(`lost: ${(error as Error).message}`);
    return 15;
  },
  restore: () => say('restored'),
  leave: (code) => {
    say(`left with ${code}`);
    process.exit(code);
  },
});
if (how.includes('immortal')) process.kill = () => true;
if (how.includes('disposed')) watch[Symbol.dispose]();
say('ready');
if (how.includes('exit')) process.exit(3);
if (how.includes('throw')) throw new Error('unforeseen');
if (how.includes('end')) watch.end('SIGHUP');
setInterval(() => undefined, 1000);
