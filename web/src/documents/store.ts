// The documents that the page knows, each in a signal, so that a change draws only its row.
import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Document } from "../api/types.js";

const known = new Map<string, Signal<Document>>();
const deleted = new Set<string>(); // a response that was on its way may still contain them

/** What happened to a document: it has changed, is new to the page, or is gone. */
export type Change = { document: Document; before: Document | undefined } | { deleted: string };

const listeners = new Set<(change: Change) => void>();

/** Calls listener with every change until the returned function is called. */
export function onChange(listener: (change: Change) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const publish = (change: Change) => listeners.forEach((listener) => listener(change));

/** Returns the signal of a document that the page knows. */
export const documentOf = (id: string): ReadonlySignal<Document> | undefined => known.get(id);

/**
 * Takes in a document from a response or an event. An older version than the known one changes
 * nothing, because responses overtake each other.
 */
export function put(document: Document): void {
  if (deleted.has(document.id)) return;
  if (document.status === "deleting") return remove(document.id);
  const held = known.get(document.id);
  const before = held?.peek();
  if (before && before.version > document.version) return;
  if (held) held.value = document;
  else known.set(document.id, signal(document));
  publish({ document, before });
}

/** Forgets a document that is gone. */
export function remove(id: string): void {
  deleted.add(id);
  known.delete(id);
  publish({ deleted: id });
}
