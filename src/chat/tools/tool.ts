import { z } from 'zod';
import { CofferError } from '../../errors.ts';

/** The directory in which the tools of a chat work, and the limits that apply to them. */
export interface ToolScope {
  /** The working directory. */
  readonly directory: string;
  /**
   * Directories and files that no tool may access, whatever was granted: those of coffer, its key
   * and the keychain.
   */
  readonly protected: readonly string[];
  /** coffer's own environment; commands get an allowed part of it. */
  readonly env: NodeJS.ProcessEnv;
  /** Time limit of a command, a listing or a search, in milliseconds. */
  readonly commandTimeout: number;
  /** Most bytes of output per call. */
  readonly maxToolOutput: number;
  /**
   * Directories that rules forbid to read: listings and searches skip them, and a sandbox hides
   * them.
   */
  readonly denied?: readonly string[];
  /**
   * coffer's own code, and paths it could be loaded from: read-only, like files that other programs
   * run.
   */
  readonly own?: readonly string[];
  /**
   * Paths of rules that allow, by name, writing to files that other programs run, or reading files
   * that usually hold a secret.
   */
  readonly granted?: { readonly read: readonly string[]; readonly write: readonly string[] };
  /**
   * Whether commands run under bubblewrap if it works (`auto`), must run under it, or never do.
   * Default: `auto`.
   */
  readonly sandbox?: 'auto' | 'required' | 'off';
}

/** A description of what a call would do, made before it does it. */
export interface ToolPlan {
  /** The rule that must be allowed; see permissions.ts. */
  readonly rule: string;
  /** The real path it is about, if any. */
  readonly path?: string;
  /**
   * Whether a rule must name the path itself, because other programs run the file or it usually
   * holds a secret.
   */
  readonly guarded?: boolean;
  /** A one-line description for the user. */
  readonly about: string;
  /**
   * Details that the user should see before approving: a diff, or the whole command and how it
   * would run.
   */
  readonly detail?: string;
  /** Whether a command runs under bubblewrap. */
  readonly sandboxed?: boolean;
  /**
   * Why the call would fail, if that is known. Must be revealed only if the rules let the model see
   * what is there.
   */
  readonly fault?: Error;
  /** Performs the call. Throws like {@link Tool.plan}, and `fault` if it is set. */
  run(signal: AbortSignal): Promise<ToolOutcome>;
}

/** The result of a call; `text` is what the model receives. */
export interface ToolOutcome {
  readonly text: string;
  readonly failed: boolean;
  /** Whether the signal cut it short. */
  readonly cancelled?: boolean;
}

/** A tool that a model may use. */
export interface Tool {
  readonly name: string;
  /** Describes the tool to the model. */
  readonly description: string;
  /** The JSON schema of its input. */
  readonly inputSchema: Record<string, unknown>;
  /**
   * Describes what a call with this input would do; changes nothing. Throws `USAGE` if the input
   * does not match the schema, `FAILED` if it leads to a path that is closed to tools, and system
   * errors. All of these are meant for the model.
   */
  plan(input: unknown, place: ToolScope): Promise<ToolPlan>;
}

/** Creates a tool whose input is validated before it is planned. */
export function defineTool<Input>(parts: {
  name: string;
  description: string;
  input: z.ZodType<Input>;
  plan(input: Input, place: ToolScope): Promise<ToolPlan>;
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
      throw new CofferError('USAGE', `invalid input for ${parts.name}: ${faults.join('; ')}`);
    },
  };
}

/** A path in the input of a tool: relative to the working directory, or absolute. */
export const pathInput: z.ZodString = z
  .string()
  .min(1)
  .regex(/^[^\0]*$/);
