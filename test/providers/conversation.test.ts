import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChatModel } from '../../src/chat/models/models.ts';
import { Conversation, openDialect } from './conversation.ts';
import type { Dialect } from './dialect.ts';
import { dialects } from './dialects.ts';
import { type ProviderServer, startProvider } from './server.ts';
import { pictures, type Step, steps } from './steps.ts';

const servers: ProviderServer[] = [];
const models: ChatModel[] = [];
const marks = new Map<string, string>();

beforeAll(async () => {
  for (const dialect of dialects) {
    const server = await startProvider(dialect);
    servers.push(server);
    models.push(await openDialect(server));
  }
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  console.log(matrix());
});

const pairs = dialects.flatMap((a, first) => dialects.map((b, second) => [a.title, b.title, first, second] as const));

describe('a conversation that moves from one provider to another', () => {
  it.each(pairs)('has no request refused and every reply arrives: %s, then %s', async (_, __, first, second) => {
    expect(await run(steps, first, second)).toEqual([]);
  });

  it.each(pairs)('sends an image, or a note in its place: %s, then %s', async (_, __, first, second) => {
    expect(await run(pictures, first, second)).toEqual([]);
    for (const at of [first, second]) expect(Number(servers[at]?.shown) > 0).toBe(takesPictures(dialects[at]));
  });
});

function takesPictures(dialect: Dialect | undefined): boolean {
  return dialect?.rules.every(({ says }) => says === undefined) === true;
}

/** Runs the steps and returns those in which a request was refused or a reply did not arrive. */
async function run(all: readonly Step[], first: number, second: number): Promise<string[]> {
  const [a, b] = [models[first], models[second]];
  if (a === undefined || b === undefined) throw new Error('no such dialect');
  const talk = new Conversation();
  const failed: string[] = [];
  for (const [name, step] of all) {
    for (const server of servers) Object.assign(server, { refused: [], shown: 0 });
    const error = await step(talk, a, b).then(
      () => undefined,
      (thrown: Error) => thrown.message,
    );
    const faults = servers.flatMap((server) => server.faults);
    if (error !== undefined || faults.length > 0) failed.push(`${name}: ${faults.join('; ') || error}`);
  }
  const mark = marks.get(`${first} ${second}`) ?? '';
  marks.set(`${first} ${second}`, `${mark}${failed.length === 0 ? '+' : '-'}`);
  return failed;
}

/**
 * Formats the outcome of each pair: a row for the first provider, a column for the second; the
 * second mark is for the image.
 */
function matrix(): string {
  const width = Math.max(...dialects.map(({ id }) => id.length)) + 2;
  const cellsOf = (first: number): string[] => dialects.map((_, second) => marks.get(`${first} ${second}`) ?? '');
  const rows = dialects.map(({ id }, first) => [id, ...cellsOf(first)]);
  return [['', ...dialects.map(({ id }) => id)], ...rows]
    .map((cells) =>
      cells
        .map((cell) => cell.padEnd(width))
        .join('')
        .trimEnd(),
    )
    .join('\n');
}
