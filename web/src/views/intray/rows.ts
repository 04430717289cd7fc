// The rows of the intray: what this page uploads, and the documents of the list. A file has one
// row, from the moment it is dropped.
import { computed, signal } from "@preact/signals";
import { deleteDocuments, leaving } from "../../documents/actions.js";
import { isPlain } from "../../documents/filter.js";
import { hold } from "../../documents/store.js";
import { list } from "../../documents/sync.js";
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

hold((id) => uploadsByDocument.peek().has(id));

/** Returns the upload of this page that made a document. */
export const uploadOf = (id: string): Upload | undefined => uploadsByDocument.value.get(id);

/**
 * The rows in their order. In the plain list, this page's uploads come first, in the order in which
 * they were dropped, and stay there. Otherwise they are where their documents belong.
 */
export const rows = computed((): readonly Row[] => {
  const gone = leaving.value;
  const { filter, ids } = list.value;
  const plain = isPlain(filter);
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

// The selection before the range that is being chosen.
let before: ReadonlySet<string> | null = null;

function select(ids: ReadonlySet<string>): void {
  before = null;
  selected.value = ids;
}

/** Selects a document, or no longer. */
export function toggle(id: string): void {
  const next = new Set(selection.peek());
  if (!next.delete(id)) next.add(id);
  select(next);
}

/** Selects the documents of the rows between two positions too, instead of the range before it. */
export function selectRange(from: number, to: number): void {
  before ??= selection.peek();
  const some = rows.peek().slice(Math.min(from, to), Math.max(from, to) + 1);
  selected.value = new Set([...before, ...some.flatMap(({ id }) => id ?? [])]);
}

/** Reports whether a range is being chosen. */
export const choosesRange = (): boolean => before !== null;

/** Keeps the range that was chosen. Another one begins. */
export const endRange = (): void => void (before = null);

/** Selects all documents that were read so far. */
export const selectAll = (): void => select(new Set(rows.peek().flatMap(({ id }) => id ?? [])));

/** Reports whether all documents are selected that were read so far. */
export const areAllSelected = (): boolean =>
  rows.value.every(({ id }) => !id || selection.value.has(id));

/** Reads the rest of the list and selects it too, unless the selection changes meanwhile. */
export async function selectRest(): Promise<void> {
  const shown = list.peek();
  const before = selected.peek();
  await shown.moreWhile(() => shown === list.peek() && selected.peek() === before);
  if (shown.complete.peek() && shown === list.peek() && selected.peek() === before) selectAll();
}

export const clearSelection = (): void => select(new Set());

/** The document that was opened last, and how far its row was below the top of the window. */
export const opened = { id: "", top: 160 };

/** Returns the position of the row of that document, or of the next one if it is being deleted. */
export function openedRow(): number {
  const ids = list.peek().ids.peek();
  const at = ids.indexOf(opened.id);
  const id = at < 0 ? opened.id : ids.slice(at).find((other) => !leaving.peek().has(other));
  return rows.peek().findIndex((row) => row.id === id);
}

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
