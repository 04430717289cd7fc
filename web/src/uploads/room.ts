// How much of the quota is left for new files. The server charges a file when it has arrived, so
// the page subtracts what it is still sending, and what it has sent since it knew the quota.
import { updateUser, user } from "../api/session.js";
import type { DocumentStatus } from "../api/types.js";
import type { Upload } from "./upload.js";

const reserved = new Set<Upload>(); // what the server has not charged yet
let bytes = 0; // of these
let charged = 0; // bytes that the quota, as the page knows it, may not contain

/** Returns how many bytes are left. */
export function left(): number {
  const quota = user.peek()?.quota;
  return quota ? Math.max(0, quota.limit_bytes - quota.used_bytes - bytes - charged) : Infinity;
}

/** Reserves the bytes of an upload. */
export function reserve(upload: Upload): void {
  if (!reserved.has(upload)) bytes += upload.size;
  reserved.add(upload);
}

/** Reports whether the bytes of an upload are reserved. */
export const isReserved = (upload: Upload): boolean => reserved.has(upload);

/** Gives the bytes of an upload back that will not be sent. */
export function release(upload: Upload): void {
  if (reserved.delete(upload)) bytes -= upload.size;
}

/** Notes what became of a file that was sent. Status is undefined if it was deleted. */
export function settle(upload: Upload, status: DocumentStatus | undefined): void {
  if (!reserved.has(upload)) return;
  release(upload);
  if (status === "uploaded" || status === "classified" || status === "failed") {
    charged += upload.size;
  }
}

/** Reports whether more may be left than the page knows. */
export const isOutdated = (): boolean => charged > 0;

/** Reads the quota again. Throws a Failure. */
export async function updateRoom(): Promise<void> {
  const before = charged;
  await updateUser();
  charged -= before;
}

/** Forgets all reservations. */
export function clearRoom(): void {
  reserved.clear();
  bytes = charged = 0;
}
