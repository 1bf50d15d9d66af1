/** What a keychain can answer; the names are those of coffer's keyring. */
export type Outcome = 'READY' | 'NOT_FOUND' | 'LOCKED' | 'DECLINED' | 'ABSENT' | 'TIMEOUT' | 'MISMATCH';

/** How something ended, with one lower-case phrase for people. Never a secret. */
export interface Answer {
  readonly outcome: Outcome;
  readonly detail: string;
}

/** An answer that is not the one hoped for. */
export type Refusal = Answer & { readonly outcome: Exclude<Outcome, 'READY'> };

/** A look-up: with `READY` comes the text that is stored. */
export type Found = { readonly outcome: 'READY'; readonly text: string } | Refusal;

/** The name of an item: what keytar calls service and account. */
export interface ItemName {
  readonly service: string;
  readonly account: string;
}
