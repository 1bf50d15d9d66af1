/** Receives the number of files done so far, and of all files. */
export type OnProgress = (done: number, total: number) => void;
