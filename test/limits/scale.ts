/*
 * A tenth of each limit takes a tenth of the time and goes through the same code. `npm run test:limits` tries them whole.
 */

/** What a size is divided by. */
export const SCALE: number = process.env['COFFER_TEST_LIMITS'] === 'whole' ? 1 : 10;
