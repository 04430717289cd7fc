// The documents that the page knows, each in a signal, so that a change draws only its row.
import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Document } from "../api/types.js";

const known = new Map<string, Signal<Document>>();
const deleted = new Set<string>(); // a response that was on its way may still contain them
const mostDeleted = 10_000; // that are remembered

/** What happened to a document: it has changed, is new to the page, or is gone. */
export type Change = ({ document: Document } | { deleted: string }) & {
  before: Document | undefined;
};

const listeners = new Set<(change: Change) => void>();

/** Calls listener with every change until the returned function is called. */
export function onChange(listener: (change: Change) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const publish = (change: Change) => listeners.forEach((listener) => listener(change));

/** Returns the signal of a document that the page knows. */
export const documentOf = (id: string): ReadonlySignal<Document> | undefined => known.get(id);

const least = 1000;
let limit = least; // when as many documents are known, those that nothing needs are forgotten
const holders = new Set<(id: string) => boolean>();

/** Keeps the documents that needs reports, until the returned function is called. */
export function hold(needs: (id: string) => boolean): () => void {
  holders.add(needs);
  return () => {
    holders.delete(needs);
    forget();
  };
}

function forget(): void {
  const all = [...holders];
  for (const id of known.keys()) if (!all.some((needs) => needs(id))) known.delete(id);
  limit = Math.max(least, 2 * known.size);
}

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
  if (held) {
    held.value = document;
  } else {
    if (known.size >= limit) forget();
    known.set(document.id, signal(document));
  }
  publish({ document, before });
}

/** Forgets a document that is gone. */
export function remove(id: string): void {
  const before = known.get(id)?.peek();
  known.delete(id);
  deleted.add(id);
  if (deleted.size > mostDeleted) deleted.delete(deleted.values().next().value!);
  publish({ deleted: id, before });
}
