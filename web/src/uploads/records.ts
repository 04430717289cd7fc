// What the browser remembers of unfinished uploads, so that they go on after a reload once their
// files were chosen again. Each has its own entry in localStorage, with the tab that sends it.
import type { Description } from "./upload.js";

export type UploadRecord = Description & { document: string; tab: string; at: number };

const oldest = 24 * 3600_000; // storage drops unfinished uploads after this time
const tab = crypto.randomUUID?.() ?? ""; // absent where the page cannot work at all
const lockOf = (id: string) => `intray-uploads-${id}`;
const prefixOf = (user: string) => `intray-upload:${user}:`;

/** Makes this tab visible to the others: it holds a lock until it is closed. */
export const holdTab = () =>
  void navigator.locks.request(lockOf(tab), () => new Promise(() => undefined));

/** Remembers an upload. Where storage is full or forbidden, it is not remembered. */
export function remember(user: string, description: Description, document: string): void {
  const record: UploadRecord = { ...description, document, tab, at: Date.now() };
  try {
    localStorage.setItem(prefixOf(user) + description.key, JSON.stringify(record));
  } catch {
    // The upload itself needs no record.
  }
}

/** Forgets an upload. */
export function forget(user: string, key: string): void {
  try {
    localStorage.removeItem(prefixOf(user) + key);
  } catch {
    // Then it was not remembered either.
  }
}

/** Forgets all uploads of a user. */
export const forgetAll = (user: string) => read(user).forEach(({ key }) => forget(user, key));

/**
 * Returns the uploads that no open tab is sending. Calls closed when a tab is closed that is
 * sending others.
 */
export async function orphans(user: string, closed: () => void): Promise<UploadRecord[]> {
  const { held = [] } = await navigator.locks.query();
  const open = new Set(held.map(({ name }) => name));
  return read(user).filter((record) => {
    if (open.has(lockOf(record.tab))) {
      awaitClosing(record.tab, closed);
      return false;
    }
    const isOld = record.at < Date.now() - oldest;
    if (isOld) forget(user, record.key);
    return !isOld;
  });
}

const awaited = new Set<string>([tab]);

// A lock of a tab is free when the tab is closed.
function awaitClosing(other: string, closed: () => void): void {
  if (awaited.has(other)) return;
  awaited.add(other);
  void navigator.locks.request(lockOf(other), { mode: "shared" }, () => undefined).then(closed);
}

function read(user: string): UploadRecord[] {
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(prefixOf(user)));
    return names.map((name) => JSON.parse(localStorage.getItem(name)!));
  } catch {
    return [];
  }
}
