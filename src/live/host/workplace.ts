import type { ToolBox } from '../../chat/tools/toolbox.ts';
import type { Settings } from '../../settings/settings.ts';

/** The process that tools run in, as far as they need to know it. */
export interface ToolHost {
  /** The environment variables of the process. */
  readonly env: NodeJS.ProcessEnv;
  /** The directory of the vault, which no tool may touch. */
  readonly vault: string;
}

/** The directory that a session's tools work in, its settings, and the tools themselves. */
export class Workplace {
  readonly directory: string;
  readonly settings: Settings;
  /** Whether the directory doesn't exist. If so, no tools are offered. */
  readonly isGone: boolean;
  readonly #place: ToolHost;
  #tools: Promise<ToolBox> | undefined;

  constructor(
    directory: string,
    { settings, place, isGone = false }: { settings: Settings; place: ToolHost; isGone?: boolean },
  ) {
    this.directory = directory;
    this.settings = settings;
    this.isGone = isGone;
    this.#place = place;
  }

  /** Returns the tools to offer; undefined if tools are disabled or the directory is gone. */
  async offeredTools(): Promise<ToolBox | undefined> {
    return this.settings.tools && !this.isGone ? this.tools() : undefined;
  }

  /** Returns the tools, created on first use. coffer itself reads files with them, too. */
  tools(): Promise<ToolBox> {
    this.#tools ??= this.#make();
    return this.#tools;
  }

  async #make(): Promise<ToolBox> {
    const [{ ToolBox }, { ownCode, protectedPaths }] = await Promise.all([
      import('../../chat/tools/toolbox.ts'),
      import('./protected.ts'),
    ]);
    const { env, vault } = this.#place;
    const { sandbox, commandTimeout, maxToolOutput, permissions } = this.settings;
    return new ToolBox({
      place: {
        directory: this.directory,
        protected: protectedPaths(env, vault),
        own: ownCode(),
        env,
        sandbox,
        commandTimeout,
        maxToolOutput,
      },
      permissions,
    });
  }
}
