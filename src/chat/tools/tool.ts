import { z } from 'zod';
import { CofferError } from '../../errors.ts';

/** Where the tools of a chat work, and what is closed to them. */
export interface Place {
  /** The working directory. */
  readonly directory: string;
  /** Directories and files that no tool may touch, whatever was granted: those of coffer, its key and the keychain. */
  readonly protected: readonly string[];
  /** coffer's own environment; commands get an allowed part of it. */
  readonly env: NodeJS.ProcessEnv;
  /** The longest a command, a listing or a search may take, in milliseconds. */
  readonly commandTimeout: number;
  /** The most bytes one call may give. */
  readonly maxToolOutput: number;
  /** Directories that rules deny to reading: a listing or a search passes them over, and a sandbox hides them. */
  readonly denied?: readonly string[];
  /** coffer's own code, and what could take its place: it stays as it is, like what other programs run. */
  readonly own?: readonly string[];
  /** The paths of rules that name what other programs run (writing), or what usually holds a secret (reading), and allow it. */
  readonly granted?: { readonly read: readonly string[]; readonly write: readonly string[] };
  /** Whether commands run under bubblewrap where that works, only there, or never; `auto` unless given. */
  readonly sandbox?: 'auto' | 'required' | 'off';
}

/** What a call would do, before it does it. */
export interface Plan {
  /** What has to be allowed: see permissions.ts. */
  readonly rule: string;
  /** The real path that is meant, where it is one. */
  readonly path?: string;
  /** Whether a rule must name the path itself: other programs run what is there, or it usually holds a secret. */
  readonly guarded?: boolean;
  /** One line for a person. */
  readonly about: string;
  /** What a person should see before saying yes: a diff, or the whole command and how it would run. */
  readonly detail?: string;
  /** Whether a command runs under bubblewrap. */
  readonly sandboxed?: boolean;
  /** Why it can't be done, where that is known. To be told only where the rules let the model see what lies there. */
  readonly fault?: Error;
  /** Does it. Throws as {@link Tool.plan}, and the fault where there is one. */
  run(signal: AbortSignal): Promise<Outcome>;
}

/** What came of a call; `text` is what the model is told. */
export interface Outcome {
  readonly text: string;
  readonly failed: boolean;
  /** It was cut short by the signal. */
  readonly cancelled?: boolean;
}

/** Something a model may use. */
export interface Tool {
  readonly name: string;
  /** What it does, for the model. */
  readonly description: string;
  /** The JSON schema of its input. */
  readonly inputSchema: Record<string, unknown>;
  /**
   * Says what a call with this input would do; changes nothing. Throws `USAGE` where the input is not as the schema has
   * it, `FAILED` where it leads to what is closed to tools, and what the system answers: all of it is for the model to read.
   */
  plan(input: unknown, place: Place): Promise<Plan>;
}

/** Makes a tool whose input is checked before it is planned. */
export function defineTool<Input>(parts: {
  name: string;
  description: string;
  input: z.ZodType<Input>;
  plan(input: Input, place: Place): Promise<Plan>;
}): Tool {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(parts.input, { io: 'input' });
  return {
    name: parts.name,
    description: parts.description,
    inputSchema,
    plan(input, place) {
      const checked = parts.input.safeParse(input);
      if (checked.success) return parts.plan(checked.data, place);
      const faults = checked.error.issues.map(({ path, message }) => `${path.join('.') || 'the input'}: ${message}`);
      throw new CofferError('USAGE', `the input of ${parts.name} is not as it should be: ${faults.join('; ')}`);
    },
  };
}

/** A path as a model gives it: relative to the working directory, or absolute. */
export const pathInput: z.ZodString = z
  .string()
  .min(1)
  .regex(/^[^\0]*$/);
