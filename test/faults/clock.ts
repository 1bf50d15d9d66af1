/**
 * Returns microseconds of the clock that all processes of this machine share, so that events of two
 * processes can be ordered.
 */
export function clock(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
