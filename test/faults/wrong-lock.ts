import { randomBytes } from 'node:crypto';
import { readFileSync, utimesSync } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { replaceFileSync } from '../../src/files/replace/replace.ts';
import { clock } from './clock.ts';
import type { Asked } from './driven.ts';

/*
 * Negative controls: sessions kept as plain lists of texts, each guarded by a lock file made with
 * O_EXCL. Driven like driver.ts, for WRONG_DIR. WRONG_LOCK selects the fault: `pid` takes over a
 * lock whose process does not exist, `age` one that was not touched for a second.
 */

const directory = process.env['WRONG_DIR'] ?? '.';
const byAge = process.env['WRONG_LOCK'] === 'age';
const STALE_MS = 1000;

let fileId = '';
let texts: string[] = [];
let touching: NodeJS.Timeout | undefined;

const verbs: Partial<Record<Asked['do'], (text: string) => Promise<object | undefined>>> = {
  begin: async () => {
    fileId = randomBytes(16).toString('hex');
    texts = [];
    await lock();
    return undefined;
  },
  resume: async (text) => {
    fileId = text;
    await lock();
    texts = JSON.parse(readFileSync(join(directory, fileId), 'utf8'));
    return { fileId };
  },
  step: async (text) => {
    texts.push(text);
    replaceFileSync(join(directory, fileId), [Buffer.from(JSON.stringify(texts))]);
    return { fileId };
  },
  snapshot: async () => undefined,
  close: async () => {
    clearInterval(touching);
    await rm(lockPath(), { force: true });
    return undefined;
  },
};

async function lock(): Promise<void> {
  for (;;) {
    try {
      await writeFile(lockPath(), String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = Number.parseInt(await readFile(lockPath(), 'utf8').catch(() => ''), 10);
    const stale = byAge ? await isOld() : !isThere(holder);
    if (!stale) throw Object.assign(new Error(`in use by process ${holder}`), { code: 'SESSION_IN_USE' });
    await rm(lockPath(), { force: true });
  }
  if (byAge) touching = setInterval(touch, STALE_MS / 4);
}

async function isOld(): Promise<boolean> {
  const touched = await stat(lockPath()).catch(() => undefined);
  return Date.now() - (touched?.mtimeMs ?? 0) > STALE_MS;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // there is no such process, or no number in the file
  }
}

function touch(): void {
  try {
    utimesSync(lockPath(), new Date(), new Date());
  } catch {
    clearInterval(touching); // another process has removed it
  }
}

function lockPath(): string {
  return join(directory, `${fileId}.lock`);
}

process.stdout.write('{"ready":true}\n');
for await (const line of createInterface({ input: process.stdin })) {
  const began = clock();
  const { do: verb, text = '' } = JSON.parse(line) as Asked;
  let answer: object;
  try {
    answer = { ok: true, ...(await verbs[verb]?.(text)) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    answer = { ok: false, error: { code, message } };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, began, done: clock() })}\n`);
}
