// What becomes of the uploads: each creates a document, and ends when the server has its file, or
// when it fails for a reason that stays.
import { api, call } from "../api/client.js";
import { asFailure, Failure } from "../api/problem.js";
import type { Document } from "../api/types.js";
import { leaving } from "../documents/actions.js";
import { documentOf, put, remove, type Change } from "../documents/store.js";
import { confirmed, confirmLater } from "./confirm.js";
import { running, withdraw } from "./line.js";
import { life, owner } from "./owner.js";
import { forget, remember } from "./records.js";
import { persist } from "../api/retry.js";
import { release, settle } from "./room.js";
import { removeRow, setSent, setState } from "./rows.js";
import type { Upload } from "./upload.js";

// The uploads whose documents have been created.
const byDocument = new Map<string, Upload>();

/** Reports whether nothing more is done for an upload. */
export const hasEnded = ({ state }: Upload): boolean =>
  /^(sent|refused|failed)$/.test(state.peek());

/** Notes the document of an upload. */
export function created(upload: Upload, document: Document): void {
  if (upload.removed) {
    const cancelled = !life.signal.aborted && upload.documentId.peek() === null;
    if (cancelled) void discard(document.id, upload);
    return;
  }
  if (!hasEnded(upload)) {
    upload.documentId.value = document.id;
    byDocument.set(document.id, upload);
    remember(owner, upload.description, document.id);
  }
  put(document);
}

/** Notes that storage has the file of an upload. */
export function arrived(upload: Upload): void {
  if (upload.state.peek() === "sent") return;
  forget(owner, upload.id);
  setSent(upload, upload.size);
  setState(upload, "sent");
  const id = upload.documentId.peek()!;
  const document = documentOf(id)?.peek();
  if (awaitsFile(document)) confirmLater(id);
  else conclude(upload, document);
}

/** Notes why an upload cannot go on. */
export function fail(upload: Upload, failure: Failure): void {
  withdraw(upload);
  leave(upload);
  const id = upload.documentId.peek();
  setState(upload, id || failure.code === "not_found" ? "failed" : "refused", failure);
  setSent(upload, 0);
  if (id && /^(file|storage|sent)_/.test(failure.code)) void discard(id, upload);
}

/** Gives an upload up. Its document, if there is one, is to be deleted. */
export function abandon(upload: Upload): void {
  withdraw(upload);
  removeRow(upload);
  leave(upload);
}

// Gives up what was kept for an upload that will not be sent.
function leave(upload: Upload): void {
  release(upload);
  forget(owner, upload.id);
  byDocument.delete(upload.documentId.peek() ?? "");
}

/** Deletes a document whose file will not be sent. */
export async function discard(id: string, { description }: Upload): Promise<void> {
  const params = { path: { id } };
  const document = "/api/documents/{id}";
  const path = description.multipart ? (`${document}/multipart-upload` as const) : document;
  try {
    await persist(() => call<unknown>(api.DELETE(path, { params })), { stop: life.signal });
  } catch (error) {
    if (life.signal.aborted) return;
    // The file of a multipart upload may have arrived after all; then the document stays.
    if (asFailure(error).code !== "not_found") return;
  }
  remove(id);
}

const awaitsFile = (document: Document | undefined) =>
  document?.status === "pending" || document?.status === "expired";

/** Follows what becomes of the documents of uploads. */
export function follow(change: Change): void {
  const document = "deleted" in change ? undefined : change.document;
  const id = "deleted" in change ? change.deleted : change.document.id;
  const upload = byDocument.get(id);
  if (!upload || awaitsFile(document)) return;
  if (!document) byDocument.delete(id);
  if (upload.state.peek() === "sent") {
    conclude(upload, document);
    if (!document) removeRow(upload);
  } else if (leaving.peek().has(id)) {
    abandon(upload); // the user deletes it on this page
  } else if (!document) {
    fail(upload, new Failure("not_found"));
  } else if (!running.has(upload)) {
    // The response to the PUT was lost, but not the file.
    withdraw(upload);
    arrived(upload);
  }
}

// The server has the file of an upload, or its document was deleted.
function conclude(upload: Upload, document: Document | undefined): void {
  confirmed(upload.documentId.peek()!);
  settle(upload, document?.status);
}

/** Forgets the documents of all uploads. */
export const clearOutcome = () => byDocument.clear();
