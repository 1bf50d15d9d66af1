import type { Campaign } from './campaign.ts';
import { campaign as crashPoints } from './crash-points.ts';
import { campaign as diskFull } from './disk-full.ts';
import { campaign as errors } from './errors.ts';
import { campaign as exits } from './exits.ts';
import { campaign as firstUse } from './first-use.ts';
import { campaign as format } from './format.ts';
import { campaign as fuzz } from './fuzz.ts';
import { campaign as inputs } from './inputs.ts';
import { campaign as keychain } from './keychain-states.ts';
import { campaign as powerCut } from './power-cut.ts';
import { campaign as writers } from './writers.ts';

/** Every campaign, in the order of the table. */
export const campaigns: readonly Campaign[] = [
  crashPoints,
  powerCut,
  errors,
  diskFull,
  writers,
  firstUse,
  exits,
  format,
  fuzz,
  inputs,
  keychain,
];
