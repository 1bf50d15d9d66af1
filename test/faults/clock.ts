/** Microseconds of the clock that all processes of this machine share, so that what two of them did can be put in order. */
export function clock(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
