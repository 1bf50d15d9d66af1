import { anthropic } from './anthropic.ts';
import { azure } from './azure.ts';
import { deepseek } from './deepseek.ts';
import type { Dialect } from './dialect.ts';
import { gemini } from './gemini.ts';
import { groq } from './groq.ts';
import { llamacpp } from './llamacpp.ts';
import { mistral } from './mistral.ts';
import { ollama, ollamaCompatible } from './ollama.ts';
import { openai } from './openai.ts';
import { openrouter } from './openrouter.ts';
import { vllm } from './vllm.ts';

/** All dialects, in the order of docs/models.md. */
export const dialects: readonly Dialect[] = [
  openai,
  azure,
  anthropic,
  gemini,
  mistral,
  groq,
  deepseek,
  ollama,
  ollamaCompatible,
  llamacpp,
  vllm,
  openrouter,
];

/** Returns the dialect with an id. Throws if there is none. */
export function dialectOf(id: string): Dialect {
  const dialect = dialects.find((each) => each.id === id);
  if (dialect === undefined) throw new Error(`no dialect ${id}`);
  return dialect;
}
