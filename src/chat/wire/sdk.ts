import type {
  LanguageModelV4FunctionTool,
  LanguageModelV4Message,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolResultOutput,
  SharedV4ProviderOptions,
} from '@ai-sdk/provider';
import type { FromProvider, Message, Part } from '../../session/event/event.ts';
import { outputText } from '../context.ts';
import type { OfferedTool } from '../reply.ts';

/*
 * Translates between coffer's messages and those of the AI SDK's providers. The providers are
 * called directly: `streamText` of the SDK validates and copies every message again, and coffer
 * uses nothing of what it adds.
 */

/** A part of a reply, as the SDK's providers stream it. */
export type StreamPart = LanguageModelV4StreamPart;

/** Converts messages to the form that the SDK's providers accept. */
export function toPrompt(messages: readonly (Message & FromProvider)[]): LanguageModelV4Message[] {
  return messages.map((message) => ({ ...contentOf(message), ...optionsIn(message) }));
}

function contentOf({ role, content }: Message): LanguageModelV4Message {
  if (role === 'system') return { role, content };
  const parts: readonly Part[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return { role, content: parts.map(toPart) } as LanguageModelV4Message;
}

function toPart(part: Part): unknown {
  const options = optionsIn(part);
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return { type: part.type, text: part.text, ...options };
    case 'file': {
      const { mediaType, data, filename } = part;
      return { type: 'file', mediaType, data: { type: 'data', data }, ...(filename && { filename }), ...options };
    }
    case 'tool-call': {
      const { toolCallId, toolName, input } = part;
      return { type: 'tool-call', toolCallId, toolName, input, ...options };
    }
    case 'tool-result': {
      const { toolCallId, toolName, output } = part;
      return { type: 'tool-result', toolCallId, toolName, output: toOutput(output), ...options };
    }
  }
}

/**
 * Converts a result to the SDK's form. A result of any other form, from an import for example, is
 * sent as text.
 */
function toOutput(output: unknown): LanguageModelV4ToolResultOutput {
  const { type, value } = Object(output) as { type?: unknown; value?: unknown };
  if ((type === 'json' || type === 'error-json') && value !== undefined) return { type, value: value as null };
  return { type: type === 'error-text' ? type : 'text', value: outputText(output) };
}

function optionsIn({ providerOptions }: FromProvider): { providerOptions?: SharedV4ProviderOptions } {
  return providerOptions === undefined ? {} : { providerOptions: providerOptions as SharedV4ProviderOptions };
}

/**
 * Converts tools to the form that the SDK's providers accept; the options `last` are added to the
 * last one.
 */
export function toTools(tools: readonly OfferedTool[], last: FromProvider): LanguageModelV4FunctionTool[] {
  return tools.map(({ name, description, inputSchema }, at) => ({
    type: 'function',
    name,
    description,
    inputSchema,
    ...(at === tools.length - 1 && optionsIn(last)),
  }));
}
