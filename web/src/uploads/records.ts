// What the browser remembers of unfinished uploads, so that they go on after a reload or the next
// sign-in once their files were chosen again. Each has its own entry in localStorage, with the tab
// that sends it.
import { remove, write } from "../storage.js";
import type { Description } from "./upload.js";

export type UploadRecord = Description & { document: string; tab: string; at: number };

const oldest = 24 * 3600_000; // storage drops unfinished uploads after this time
const tab = crypto.randomUUID?.() ?? ""; // absent where the page cannot work at all
const lockOf = (id: string) => `intray-uploads-${id}`;
const prefix = "intray-upload:";
const nameOf = (user: string, key: string) => `${prefix}${user}:${key}`;

/** Makes this tab visible to the others: it holds a lock until it is closed. */
export const holdTab = () =>
  void navigator.locks.request(lockOf(tab), () => new Promise(() => undefined));

/** Remembers an upload. Where storage is full or forbidden, it is not remembered. */
export function remember(user: string, description: Description, document: string): void {
  const record: UploadRecord = { ...description, document, tab, at: Date.now() };
  write(nameOf(user, description.key), JSON.stringify(record));
}

/** Forgets an upload. */
export const forget = (user: string, key: string) => remove(nameOf(user, key));

/** Forgets the uploads of all users that storage has dropped. */
export function forgetOld(): void {
  for (const [name, { at }] of read(prefix)) if (at < Date.now() - oldest) remove(name);
}

/**
 * Returns the uploads that no open tab is sending. Calls closed when a tab is closed that is
 * sending others.
 */
export async function orphans(user: string, closed: () => void): Promise<UploadRecord[]> {
  const open = await openTabs();
  return recordsOf(user).filter((record) => {
    if (!open.has(lockOf(record.tab))) return true;
    awaitClosing(record.tab, closed);
    return false;
  });
}

/** Returns how many uploads other open tabs have begun to send. */
export async function countElsewhere(user: string): Promise<number> {
  const open = await openTabs();
  const sent = (record: UploadRecord) => record.tab !== tab && open.has(lockOf(record.tab));
  return recordsOf(user).filter(sent).length;
}

async function openTabs(): Promise<Set<string | undefined>> {
  const { held = [] } = await navigator.locks.query();
  return new Set(held.map(({ name }) => name));
}

const awaited = new Set<string>([tab]);

// A lock of a tab is free when the tab is closed.
function awaitClosing(other: string, closed: () => void): void {
  if (awaited.has(other)) return;
  awaited.add(other);
  void navigator.locks.request(lockOf(other), { mode: "shared" }, () => undefined).then(closed);
}

const recordsOf = (user: string) => read(nameOf(user, "")).map(([, record]) => record);

function read(beginning: string): [string, UploadRecord][] {
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(beginning));
    return names.map((name) => [name, JSON.parse(localStorage.getItem(name)!)]);
  } catch {
    return [];
  }
}
