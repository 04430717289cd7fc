// How much of the quota is left for new files. The server charges a file when it has arrived, so
// the page subtracts what it is still sending, and what it has sent since it knew the quota.
import { updateUser, user } from "../api/session.js";
import type { DocumentStatus } from "../api/types.js";

let promised = 0; // bytes of uploads that the quota, as the page knows it, may not contain
let charged = 0; // of these, what the server has charged in the meantime

/** Returns how many bytes are left. */
export function left(): number {
  const quota = user.peek()?.quota;
  return quota ? Math.max(0, quota.limit_bytes - quota.used_bytes - promised) : Infinity;
}

/** Reserves the bytes of a file. */
export const promise = (size: number) => void (promised += size);

/** Gives the bytes of a file back that will not be sent. */
export const release = (size: number) => void (promised -= size);

/** Notes what became of a file that was sent. */
export function settle(size: number, status: DocumentStatus | undefined): void {
  if (status === "uploaded" || status === "classified" || status === "failed") charged += size;
  else release(size);
}

/** Reports whether more may be left than the page knows. */
export const isOutdated = () => charged > 0;

/** Reads the quota again. Throws a Failure. */
export async function updateRoom(): Promise<void> {
  const before = charged;
  await updateUser();
  charged -= before;
  promised -= before;
}

/** Forgets all reservations. */
export const clearRoom = () => void (promised = charged = 0);
