import { z } from 'zod';
import { isBaseURL, type ProviderSettings } from './providers.ts';

/** Validates one provider of the settings file; unknown keys are errors. */
export const providerSchema: z.ZodType<ProviderSettings> = z.strictObject({
  type: z.enum(['openai-compatible', 'anthropic', 'ollama']).optional(),
  baseURL: z.string().refine(isBaseURL, 'an http or https address without a user, a query or a fragment').optional(),
  apiKeyEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, not the key itself')
    .optional(),
  allowInsecure: z.boolean().optional(),
  contextWindow: z.int().positive().optional(),
  maxOutputTokens: z.int().positive().optional(),
  models: z
    .record(
      z.string(),
      z.strictObject({ contextWindow: z.int().positive().optional(), maxOutputTokens: z.int().positive().optional() }),
    )
    .optional(),
  prices: z.record(z.string(), z.strictObject({ input: z.number().min(0), output: z.number().min(0) })).optional(),
});
