import type { ToolBox } from '../chat/tools/toolbox.ts';
import type { Settings } from '../settings/settings.ts';

/** What the tools of a session need to know of the process they run in. */
export interface ToolHost {
  readonly env: NodeJS.ProcessEnv;
  /** The directory of the vault, which no tool may touch. */
  readonly vault: string;
}

/** Where the tools of a session work, the settings that apply there, and the tools themselves. */
export class Workplace {
  readonly directory: string;
  readonly settings: Settings;
  /** The directory doesn't exist: no tools are offered. */
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

  /** Returns the tools that a model is offered; undefined if the settings or a missing directory rule them out. */
  async offeredTools(): Promise<ToolBox | undefined> {
    return this.settings.tools && !this.isGone ? this.tools() : undefined;
  }

  /** Returns the tools, which coffer itself also reads files with. */
  tools(): Promise<ToolBox> {
    this.#tools ??= this.#make();
    return this.#tools;
  }

  async #make(): Promise<ToolBox> {
    const [{ ToolBox }, { ownCode, protectedPaths }] = await Promise.all([
      import('../chat/tools/toolbox.ts'),
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
