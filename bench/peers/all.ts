import { age } from './age.ts';
import { conf } from './conf.ts';
import { jsonAtomic } from './json-atomic.ts';
import { jsonGcm } from './json-gcm.ts';
import { jsonl, jsonlSync } from './jsonl.ts';
import type { Peer } from './peer.ts';
import { sqlcipher } from './sqlcipher.ts';
import { sqlite } from './sqlite.ts';

/** Other ways to store sessions. */
export const peers: readonly Peer[] = [sqlite, sqlcipher, jsonlSync, jsonl, jsonAtomic, jsonGcm, conf, age];
