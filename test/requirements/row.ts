import { expect } from 'vitest';
import type { Place, Result, Start } from '../support/coffer.ts';

/** One row of the requirements, and how it is driven: from outside, by the packed program alone. */
export interface Requirement {
  /** `B2`. */
  readonly row: string;
  readonly about: string;
  readonly settings?: object;
  /** Throws where the row does not hold. */
  drive(place: Place): Promise<void>;
}

/** Runs a command that must end well, and gives its stdout. */
export async function out(place: Place, args: readonly string[], start?: Start): Promise<string> {
  const { code, stdout, stderr } = await place.run(args, start);
  if (code !== 0) throw new Error(`coffer ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

/** The same of a command that prints JSON. */
export async function json(place: Place, args: readonly string[], start?: Start): Promise<unknown> {
  return JSON.parse(await out(place, [...args, '--json'], start));
}

/** Runs a command that must be refused with a code and a line that fits. */
export async function refused(place: Place, args: readonly string[], code: number, line: RegExp): Promise<Result> {
  const result = await place.run(args);
  expect({ args, code: result.code }).toEqual({ args, code });
  expect(result.stderr).toMatch(line);
  return result;
}

/** Has a conversation of one prompt with `demo/echo`. */
export async function say(place: Place, words: string, ...args: string[]): Promise<void> {
  await out(place, [...args, '--model', 'demo/echo', '-p', words]);
}

/** Has a chat of these lines on standard input, and gives all that was shown. */
export async function chat(place: Place, lines: readonly string[], args: readonly string[] = []): Promise<string> {
  const input = lines.map((line) => `${line}\n`).join('');
  const { code, stdout, stderr } = await place.run(['--model', 'demo/echo', ...args], { input });
  if (code !== 0) throw new Error(`the chat ended with ${code}: ${stderr}`);
  return `${stdout}${stderr}`;
}
