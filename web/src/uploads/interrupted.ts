// Uploads of an earlier visit that did not end: their files must be chosen again.
import { signal, type ReadonlySignal } from "@preact/signals";
import { api, call } from "../api/client.js";
import type { DocumentPage } from "../api/types.js";
import { onChange, put } from "../documents/store.js";
import { uploadName } from "./check.js";
import { owner } from "./owner.js";
import { forget, orphans, type UploadRecord } from "./records.js";
import { persist } from "../api/retry.js";

const found = signal<ReadonlyMap<string, UploadRecord>>(new Map());

/** The interrupted uploads by the id of their document, which waits for its file. */
export const interrupted: ReadonlySignal<
  ReadonlyMap<string, Pick<UploadRecord, "name" | "size" | "multipart">>
> = found;

/** Finds the interrupted uploads of a user. Calls again when there may be more. */
export async function findInterrupted(
  user: string,
  again: () => void,
  stop: AbortSignal,
): Promise<void> {
  const records = await orphans(user, again);
  if (stop.aborted || (!records.length && !found.peek().size)) return;
  const pending = records.length ? await pendingDocuments(stop) : new Set<string>();
  const next = new Map<string, UploadRecord>();
  for (const record of records) {
    if (pending.has(record.document)) next.set(record.document, record);
    else forget(user, record.key);
  }
  found.value = next;
}

async function pendingDocuments(stop: AbortSignal): Promise<Set<string>> {
  const ids = new Set<string>();
  const querySerializer = { array: { style: "form", explode: false } } as const;
  let cursor: string | null | undefined;
  do {
    const status = ["pending" as const];
    const params = { query: { status, limit: 100, ...(cursor && { cursor }) } };
    const read = (): Promise<DocumentPage> =>
      call(api.GET("/api/documents", { params, querySerializer }));
    const page: DocumentPage = await persist(read, { stop });
    for (const document of page.items) {
      put(document);
      ids.add(document.id);
    }
    cursor = page.next_cursor;
  } while (cursor);
  return ids;
}

/** Forgets the interrupted uploads that the page knows. */
export const clearInterrupted = () => void (found.value = new Map());

const isSame = (record: UploadRecord, file: File) =>
  record.size === file.size &&
  record.lastModified === file.lastModified &&
  record.name === uploadName(file.name);

/**
 * Returns the record of the interrupted upload of a file, which is then no longer interrupted, or
 * undefined. With an id, only that document's upload is considered.
 */
export function claim(file: File, id?: string): UploadRecord | undefined {
  const all = found.peek();
  const candidates = id === undefined ? [...all.values()] : [all.get(id)];
  const record = candidates.find((candidate) => candidate && isSame(candidate, file));
  if (record) drop(record.document);
  return record;
}

function drop(id: string): void {
  const next = new Map(found.peek());
  if (next.delete(id)) found.value = next;
}

/** Forgets interrupted uploads whose documents are deleted, or wait for no file any more. */
export const followInterrupted = () =>
  onChange((change) => {
    if ("document" in change && change.document.status === "pending") return;
    const id = "document" in change ? change.document.id : change.deleted;
    const record = found.peek().get(id);
    if (!record) return;
    drop(id);
    forget(owner, record.key);
  });
