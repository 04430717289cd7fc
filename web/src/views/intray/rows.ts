// The rows of the intray: what this page uploads, and the documents of the list. A file has one
// row, from the moment it is dropped.
import { computed, signal } from "@preact/signals";
import { deleteDocuments, leaving } from "../../documents/actions.js";
import { filtered, list } from "../../documents/sync.js";
import { uploads, type Upload, type UploadState } from "../../uploads/queue.js";

/** A row: an upload of this page, a document, or both. */
export type Row = { key: string; upload?: Upload; id?: string };

const uploadsByDocument = computed(() => {
  const found = new Map<string, Upload>();
  for (const upload of uploads.value) {
    if (upload.documentId.value) found.set(upload.documentId.value, upload);
  }
  return found;
});

/** Returns the upload of this page that made a document. */
export const uploadOf = (id: string): Upload | undefined => uploadsByDocument.value.get(id);

/**
 * The rows in their order. In the plain list, this page's uploads come first, in the order in which
 * they were dropped, and stay there. Otherwise they are where their documents belong.
 */
export const rows = computed((): readonly Row[] => {
  const gone = leaving.value;
  const { filter, ids } = list.value;
  const plain = !filtered.value && !filter.sort && !filter.order;
  const made = uploadsByDocument.value;
  const found: Row[] = [];
  if (plain) {
    for (const upload of uploads.value) {
      const id = upload.documentId.value;
      if (!id) found.push({ key: upload.id, upload });
      else if (!gone.has(id)) found.push({ key: upload.id, upload, id });
    }
  }
  for (const id of ids.value) {
    if (gone.has(id)) continue;
    const upload = made.get(id);
    if (!upload) found.push({ key: id, id });
    else if (!plain) found.push({ key: upload.id, upload, id });
  }
  return found;
});

const selected = signal<ReadonlySet<string>>(new Set());

/** The ids of the documents that are selected. A document that leaves the list no longer is. */
export const selection = computed((): ReadonlySet<string> => {
  if (selected.value.size === 0) return selected.value;
  return new Set(rows.value.flatMap(({ id }) => (id && selected.value.has(id) ? id : [])));
});

/** Selects a document, or no longer. */
export function toggle(id: string): void {
  const next = new Set(selection.peek());
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

/** Selects the documents of the rows between two positions too. */
export function selectRange(from: number, to: number): void {
  const some = rows.peek().slice(Math.min(from, to), Math.max(from, to) + 1);
  selected.value = new Set([...selection.peek(), ...some.flatMap(({ id }) => id ?? [])]);
}

/** Selects all documents that were read so far. */
export const selectAll = (): void => selectRange(0, rows.peek().length);

export const clearSelection = (): void => void (selected.value = new Set());

/** Removes files: it cancels uploads that are not finished, and deletes documents. */
export function removeFiles(some: readonly Row[]): void {
  const stored: string[] = [];
  for (const { id, upload } of some) {
    const state = upload?.state.peek();
    if (upload && (!id || (state && unfinished.includes(state)))) void upload.cancel();
    else if (id) stored.push(id);
  }
  deleteDocuments(stored);
}

const unfinished: readonly UploadState[] = ["waiting", "sending", "paused", "retrying"];
