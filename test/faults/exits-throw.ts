/*
 * Loaded into coffer (NODE_OPTIONS=--import): throws where nobody catches when SIGUSR2 comes, as a bug would.
 */
process.on('SIGUSR2', () => {
  throw new Error('thrown by the test');
});
