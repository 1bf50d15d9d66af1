import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { turn } from '../../../src/chat/loop.ts';
import { detectLocal, openModel, type ProviderSettings } from '../../../src/chat/models/models.ts';
import { Recorder } from '../recorder.ts';

/*
 * A child process for sockets.test.ts: takes one turn with each of `models` in one session, prints
 * the outcomes as JSON, and then, if told to, does what coffer must never do.
 *
 */
const { models, provider, detect, connectTo, lookUp } = JSON.parse(process.argv[2] ?? '') as {
  models: string[];
  provider: ProviderSettings;
  detect?: Record<'ollama' | 'lmstudio' | 'llamacpp', number>;
  connectTo?: number;
  lookUp?: string;
};
const session = new Recorder();
const outcomes: string[] = [];
if (detect !== undefined) outcomes.push(String(await detectLocal({ ports: detect, deadline: 20_000 })));
for (const name of models) {
  const model = await openModel(name, { providers: { mock: provider }, env: process.env });
  const events = { onText: () => undefined };
  const result = await turn(session, model, `hello ${name}`, events, new AbortController().signal);
  outcomes.push(result.error?.code ?? result.outcome);
}
if (connectTo !== undefined) {
  const socket = connect(connectTo, '127.0.0.1');
  await new Promise<void>((resolve) => socket.once('error', () => resolve()).once('connect', () => resolve()));
  socket.destroy();
}
if (lookUp !== undefined)
  await lookup(lookUp).catch((error: NodeJS.ErrnoException) => outcomes.push(String(error.code)));
process.stdout.write(JSON.stringify(outcomes));
