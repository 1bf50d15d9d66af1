import type { Campaign, Control, Figures } from './campaign.ts';
import {
  appendices,
  type Bases,
  basesOf,
  flippedBits,
  frameLengths,
  headerFields,
  key,
  movedChunks,
  movedFrames,
  truncations,
} from './format-attacks.ts';
import { type Attack, type Base, judge, type Verdict } from './format-base.ts';
import { measureLengths } from './format-lengths.ts';
import { bombs, lyingLengths, lyingSegments, otherKinds, shortTags, wrongPadding } from './format-lies.ts';
import { caught, RealOpener } from './format-real.ts';
import { attackRecords, recordControls } from './format-record.ts';
import { attackTags } from './format-tags.ts';
import { attackVault } from './format-vault.ts';
import type { Sample } from './sample.ts';
import { type Flaws, openWrongly } from './wrong-openers.ts';

/** Maximum number of lines printed about broken promises. */
const LINES = 25;

/** The attack on the sealed file itself. */
export const campaign: Campaign = {
  name: 'the format',
  needs: ['mkfifo', 'mknod', 'root'],
  limits: { short: 120, whole: 1200 },
  run,
};

/** The short form tries one attack in this many of each sort. */
const INTERVAL = 25;
/**
 * Attacks on a control tried per batch in the short form, before checking whether the control was
 * caught.
 */
const BATCH = 400;

async function run(folder: string, tell: (line: string) => void, sample: Sample): Promise<Figures> {
  const failures: string[] = [];
  const counts: Record<Verdict, number> = { refused: 0, torn: 0, cut: 0, accepted: 0, misreported: 0 };
  using opener = new RealOpener(folder);
  const bases = basesOf(true);
  for (const base of [bases.one, bases.three, bases.long]) checkGenuine(opener, base);

  let cases = 0;
  let listed = 0;
  for (const [name, attacks] of allAttacks(bases)) {
    const before = cases;
    tell(name);
    for (const attack of sample.of(attacks, INTERVAL)) {
      const outcome = opener.open(attack);
      const { verdict, why } = judge(attack, outcome.seen);
      cases++;
      counts[verdict]++;
      if (outcome.listed && verdict === 'refused') listed++;
      if (verdict === 'accepted' || verdict === 'misreported') failures.push(`${attack.what}: ${why}`);
      if (outcome.contradiction) failures.push(`${attack.what}: ${outcome.contradiction}`);
    }
    tell(`${name}: ${cases - before}`);
    if (cases === before) failures.push(`${name}: nothing was tried`);
  }

  tell('tags, the vault and lengths that lie');
  const tags = attackTags();
  const vault = await attackVault(folder);
  const memory = await measureLengths(folder);
  tell('vault.json');
  const records = await attackRecords(folder, sample);
  failures.push(...records.failures);
  failures.push(...tags.failures, ...vault.failures, ...memory.failures, ...faultsOfStrict(bases, sample));
  const accepted = counts.accepted + tags.accepted + vault.accepted + records.accepted;
  return {
    cases: cases + tags.cases + vault.cases + records.cases,
    lost: vault.lost + records.lost,
    accepted,
    controls: [...controls(bases, sample), ...tags.controls, ...memory.controls, ...(await recordControls(folder))],
    notes: [
      `frames cut off after the last mark, which nothing can see: ${counts.cut}`,
      `vault.json attacked in ${records.cases} ways`,
      `torn tails reported: ${counts.torn}`,
      `damaged behind what a list reads, and so listed until opened: ${listed}`,
      `most address space taken by a lying length: ${memory.grown} MiB`,
    ],
    failures: short(failures),
  };
}

function* allAttacks(bases: Bases): Generator<[string, Iterable<Attack>]> {
  const { one, three, others, long, longOthers } = bases;
  yield ['bits of a file of one frame', flippedBits(one)];
  yield ['bits of a file of three frames', flippedBits(three)];
  yield ['truncations of a file of one frame', truncations(one)];
  yield ['truncations of a file of three frames', truncations(three)];
  yield ['something behind a file', appendices(three, others)];
  yield ['frames moved', movedFrames(three, others)];
  yield ['chunks moved', movedChunks(long, longOthers)];
  yield ['header fields', headerFields(three, others)];
  yield ['lengths of frames', frameLengths(three)];
  yield ['sealed lengths that lie', lyingLengths()];
  yield ['sealed segments that lie', lyingSegments()];
  yield ['zstd bombs', bombs()];
  yield ['sealed padding that is wrong', wrongPadding()];
  yield ['sealed tags that are short', shortTags()];
  yield ['other kinds, versions and names', otherKinds()];
}

/** Throws if a genuine file does not open: an attack on it would show nothing. */
function checkGenuine(opener: RealOpener, base: Base): void {
  const { seen } = opener.open({ what: base.name, bytes: base.bytes, fileId: base.fileId, base });
  if (seen instanceof Error) throw seen;
  const whole = base.states.at(-1);
  if (JSON.stringify(seen) !== JSON.stringify(whole)) throw new Error(`${base.name} does not open to what was sealed`);
}

/** Runs the wrong openers, each under the attack meant for it. */
function controls(bases: Bases, sample: Sample): Control[] {
  const { one } = bases;
  const loose = basesOf(false);
  const untilCaught = (name: string, flaws: Flaws, attacks: Iterable<Attack>): Control => {
    let [caught, cases] = [0, 0];
    for (const batch of sample.batches([...attacks], BATCH)) {
      if (caught > 0) break;
      const tried = control(name, flaws, batch);
      caught += tried.caught;
      cases += tried.cases;
    }
    return { name, caught, cases };
  };
  return [
    untilCaught('tags of any length', { anyTag: true }, shortTags()),
    untilCaught('padding not looked at', { anyPadding: true }, wrongPadding()),
    untilCaught('frames not chained', { unchained: true }, movedFrames(loose.three, loose.others)),
    untilCaught('plaintext out before its tag', { early: true }, flippedBits(one)),
    untilCaught('the name not compared', { anyName: true }, otherKinds()),
  ];
}

function control(name: string, flaws: Flaws, attacks: Iterable<Attack>): Control {
  let [found, cases] = [0, 0];
  for (const attack of attacks) {
    const seen = caught(() => openWrongly(attack.bytes, attack.fileId, key, flaws));
    if (judge(attack, seen).verdict === 'accepted') found++;
    cases++;
  }
  return { name, caught: found, cases };
}

/**
 * Checks that a control is wrong only because of its flaw: with nothing left out, nothing may be
 * accepted.
 */
function faultsOfStrict({ one, three, others }: Bases, sample: Sample): string[] {
  const attacks = [flippedBits(one), movedFrames(three, others), wrongPadding(), shortTags(), otherKinds()];
  const accepted = attacks.reduce((sum, some) => sum + control('', {}, sample.of(some, INTERVAL)).caught, 0);
  return accepted === 0 ? [] : [`the controls' opener accepts ${accepted} attacks with nothing left out`];
}

function short(failures: readonly string[]): string[] {
  if (failures.length <= LINES) return [...failures];
  return [...failures.slice(0, LINES), `… and ${failures.length - LINES} more`];
}
