// Documents in the order of a filter, known by their ids.
import { signal, type ReadonlySignal } from "@preact/signals";
import type { Document } from "../api/types.js";
import { compare, type Filter } from "./filter.js";
import { documentOf } from "./store.js";

export class Order {
  readonly #ids = signal<readonly string[]>([]);
  readonly #members = new Set<string>(); // the same ids, and those that are about to be placed

  constructor(readonly filter: Filter) {}

  /** The ids in their order. */
  get ids(): ReadonlySignal<readonly string[]> {
    return this.#ids;
  }

  has(id: string): boolean {
    return this.#members.has(id);
  }

  /** Makes the store keep documents that a call of `replace` is going to place. */
  expect(ids: Iterable<string>): void {
    for (const id of ids) this.#members.add(id);
  }

  /**
   * Puts the documents of a page, which are in their order, in the place of those that come after
   * one document (undefined: from the first one on) up to another one (undefined: none), or the
   * end. Returns which are no longer there, and whether the page is at the end.
   */
  replace(
    page: ReadonlySet<string>,
    after: Document | undefined,
    upTo: Document | undefined | "end",
  ): { gone: string[]; atEnd: boolean } {
    const others = this.#ids.peek().filter((id) => !page.has(id));
    const from = countUpTo(after, others, this.filter);
    const to = upTo === "end" ? others.length : countUpTo(upTo, others, this.filter);
    const gone = others.slice(from, Math.max(from, to));
    this.#ids.value = others.toSpliced(from, gone.length, ...page);
    for (const id of gone) this.#members.delete(id);
    return { gone, atEnd: from + gone.length === others.length };
  }

  /** Inserts a document where it belongs. With beforeEnd, it is left out if that is the end. */
  insert(document: Document, beforeEnd: boolean): void {
    const ids = this.#ids.peek();
    const at = positionOf(document, ids, this.filter);
    if (beforeEnd && at === ids.length) return;
    this.#members.add(document.id);
    this.#ids.value = ids.toSpliced(at, 0, document.id);
  }

  /** Removes a document. before: as it was when it was placed, which makes it quicker to find. */
  remove(id: string, before?: Document): void {
    if (!this.#members.delete(id)) return;
    const ids = this.#ids.peek();
    const expected = before ? positionOf(before, ids, this.filter) : -1;
    const at = ids[expected] === id ? expected : ids.indexOf(id);
    if (at >= 0) this.#ids.value = ids.toSpliced(at, 1);
  }
}

// Returns where a document belongs among others, by bisection.
function positionOf(document: Document, ids: readonly string[], filter: Filter): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = documentOf(ids[middle]!)?.peek();
    if (other && compare(filter, other, document) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Returns how many documents there are up to one, including it. Up to undefined there are none.
function countUpTo(
  document: Document | undefined,
  ids: readonly string[],
  filter: Filter,
): number {
  if (!document) return 0;
  const at = positionOf(document, ids, filter);
  return ids[at] === document.id ? at + 1 : at;
}
