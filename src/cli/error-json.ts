import type { CofferError } from '../errors.ts';

/** An error as `--json` prints it, wherever it stands. */
export function errorJson({ code, message, reason, advice, holder, said }: CofferError): object {
  return { code, message, reason, advice, holder, said };
}
