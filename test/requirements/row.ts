import { expect } from 'vitest';
import type { Place, Result, Start } from '../support/coffer.ts';

/**
 * One row of the requirements, and the test that drives it: from outside, through the packed
 * program alone.
 */
export interface Requirement {
  /** The name of the row, such as `B2`. */
  readonly row: string;
  readonly about: string;
  readonly settings?: object;
  /** Throws if the requirement isn't met. */
  drive(place: Place): Promise<void>;
}

/** Runs a command that must succeed, and returns its stdout. */
export async function out(place: Place, args: readonly string[], start?: Start): Promise<string> {
  const { code, stdout, stderr } = await place.run(args, start);
  if (code !== 0) throw new Error(`coffer ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

/** Like {@link out}, for a command that prints JSON; returns it parsed. */
export async function json(place: Place, args: readonly string[], start?: Start): Promise<unknown> {
  return JSON.parse(await out(place, [...args, '--json'], start));
}

/** Runs a command that must fail with an exit code and a matching line on stderr. */
export async function refused(place: Place, args: readonly string[], code: number, line: RegExp): Promise<Result> {
  const result = await place.run(args);
  expect({ args, code: result.code }).toEqual({ args, code });
  expect(result.stderr).toMatch(line);
  return result;
}

/** Runs one prompt with `demo/echo`. */
export async function say(place: Place, words: string, ...args: string[]): Promise<void> {
  await out(place, [...args, '--model', 'demo/echo', '-p', words]);
}

/** Runs a chat with these lines on standard input, and returns everything shown. */
export async function chat(place: Place, lines: readonly string[], args: readonly string[] = []): Promise<string> {
  const input = lines.map((line) => `${line}\n`).join('');
  const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', ...args], { input });
  if (code !== 0) throw new Error(`the chat ended with ${code}: ${stderr}`);
  return `${stdout}${stderr}`;
}
