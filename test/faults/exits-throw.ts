/*
 * Loaded into coffer (NODE_OPTIONS=--import). Throws an uncaught error on SIGUSR2, as a bug would.
 */
process.on('SIGUSR2', () => {
  throw new Error('thrown by the test');
});
