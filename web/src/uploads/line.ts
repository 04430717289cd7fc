// Where the uploads are that have not ended, unless they are paused.
import type { Target } from "./put.js";
import type { Upload } from "./upload.js";

const promptly = 3; // attempts after which an upload waits behind the others

export const line = new Set<Upload>(); // without a URL
export const repeated = new Set<Upload>(); // the same, but first
export const large = new Set<Upload>(); // to be sent in parts
export const asked = new Set<Upload>(); // their URLs are being requested
export const ready = new Map<Upload, Target>();
export const running = new Map<Upload, AbortController>();

/** Puts an upload where it waits for its turn. */
export function lineUp(upload: Upload): void {
  if (upload.description.multipart) large.add(upload);
  else if (asked.has(upload)) return; // its URL is on its way
  else if (upload.attempts > 0 && upload.attempts < promptly) repeated.add(upload);
  else line.add(upload);
}

/** Takes an upload from wherever it is, and stops sending it. */
export function withdraw(upload: Upload): void {
  for (const place of [line, repeated, large, ready]) place.delete(upload);
  running.get(upload)?.abort();
  running.delete(upload);
}

/** Takes all uploads away, and stops sending them. */
export function clearLine(): void {
  for (const stop of running.values()) stop.abort();
  for (const place of [line, repeated, large, asked, ready, running]) place.clear();
}
