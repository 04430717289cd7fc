// The user whose files are sent.

/** The id of this user. It is empty while nobody has signed in. */
export let owner = "";

/** Aborted when this user signs out. */
export let life = new AbortController();

/** Sends the files of this user from now on. */
export const setOwner = (id: string) => void (owner = id);

/** Ends everything that is done for this user. */
export function clearOwner(): void {
  life.abort();
  life = new AbortController();
  owner = "";
}
