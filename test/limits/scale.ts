/*
 * A tenth of each limit takes a tenth of the time and runs the same code. `npm run test:limits`
 * tries the full limits.
 */

/** The divisor of every size. */
export const SCALE: number = process.env['COFFER_TEST_LIMITS'] === 'whole' ? 1 : 10;
