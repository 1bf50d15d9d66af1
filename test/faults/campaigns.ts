import type { Campaign } from './campaign.ts';

/** Every campaign, in the order of the table. */
export const campaigns: readonly Campaign[] = [];
