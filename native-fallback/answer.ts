/** The outcomes of a keychain call; the names are those of coffer's keyring. */
export type Outcome = 'READY' | 'NOT_FOUND' | 'LOCKED' | 'DECLINED' | 'ABSENT' | 'TIMEOUT' | 'MISMATCH';

/** An outcome with one lower-case phrase for users. Never contains a secret. */
export interface Answer {
  readonly outcome: Outcome;
  readonly detail: string;
}

/** An answer other than `READY`. */
export type Refusal = Answer & { readonly outcome: Exclude<Outcome, 'READY'> };

/** The result of a look-up. With `READY` it has the stored text. */
export type Found = { readonly outcome: 'READY'; readonly text: string } | Refusal;

/** The name of an item, as keytar's service and account. */
export interface ItemName {
  readonly service: string;
  readonly account: string;
}
