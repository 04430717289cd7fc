// A list of documents: pages of the API's listing, kept current with every change that arrives.
import { batch, signal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, type Failure } from "../api/problem.js";
import type { Document, DocumentPage } from "../api/types.js";
import { compare, queryOf, selects, type Filter } from "./filter.js";
import { documentOf, onChange, put } from "./store.js";

const pageSize = 100;
const querySerializer = { array: { style: "form", explode: false } } as const;

export class DocumentList {
  /** The ids of the documents that were read so far, in the order of the list. */
  readonly ids = signal<readonly string[]>([]);
  /** Whether all pages were read. */
  readonly complete = signal(false);
  /** Whether the first page was read. */
  readonly ready = signal(false);
  /** Why the last page could not be read. */
  readonly failure = signal<Failure | null>(null);
  /** The position in the event stream from before the first page was read. */
  position = "";

  #cursor: string | null = null;
  #loading: Promise<void> | null = null;
  #closed = false;
  #meanwhile = new Set<string>(); // the documents that changed while a page was being read
  #stop = onChange((change) => {
    const id = "deleted" in change ? change.deleted : change.document.id;
    if (this.#loading) this.#meanwhile.add(id);
    this.#follow(id);
  });

  constructor(readonly filter: Filter) {}

  /** Stops following changes. */
  close(): void {
    this.#stop();
    this.#closed = true;
  }

  /** Reads the next page, unless one is being read or there is none. */
  more(): Promise<void> {
    if (this.complete.peek()) return Promise.resolve();
    this.#loading ??= this.#read().finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** Reads what could not be read. */
  retry(): Promise<void> {
    return this.complete.peek() ? this.refresh() : this.more();
  }

  async #read(): Promise<void> {
    try {
      const page = await this.#page(this.#cursor);
      if (this.#closed) return;
      batch(() => {
        if (!this.position) this.position = page.events_after;
        page.items.forEach(put);
        const held = new Set(this.ids.peek());
        const added = page.items.map(({ id }) => id).filter((id) => !held.has(id));
        this.ids.value = [...this.ids.peek(), ...added];
        this.#cursor = page.next_cursor;
        this.complete.value = page.next_cursor === null;
        this.#settle();
      });
    } catch (error) {
      if (!this.#closed) this.failure.value = asFailure(error);
    }
  }

  #page(cursor: string | null): Promise<DocumentPage> {
    const query = { ...queryOf(this.filter), ...(cursor && { cursor }), limit: pageSize };
    return call(api.GET("/api/documents", { params: { query }, querySerializer }));
  }

  /** Reads all pages that were read before again, because changes were missed. */
  async refresh(): Promise<void> {
    await this.#loading;
    this.#loading ??= this.#readAgain().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #readAgain(): Promise<void> {
    const wanted = this.ids.peek().length;
    const ids: string[] = [];
    let cursor: string | null = null;
    try {
      do {
        const page = await this.#page(cursor);
        if (this.#closed) return;
        page.items.forEach(put);
        ids.push(...page.items.map(({ id }) => id));
        cursor = page.next_cursor;
      } while (cursor && ids.length < wanted);
      batch(() => {
        this.ids.value = ids;
        this.#cursor = cursor;
        this.complete.value = cursor === null;
        this.#settle();
      });
    } catch (error) {
      if (!this.#closed) this.failure.value = asFailure(error);
    }
  }

  // The pages may be older than what has arrived while they were read.
  #settle(): void {
    this.ready.value = true;
    this.failure.value = null;
    const changed = this.#meanwhile;
    this.#meanwhile = new Set();
    for (const id of changed) this.#follow(id);
  }

  #follow(id: string): void {
    const document = documentOf(id)?.peek();
    if (document) this.#place(document);
    else this.#drop(id);
  }

  /** Puts a document where it belongs, or removes it if the filter no longer selects it. */
  #place(document: Document): void {
    if (!this.ready.peek()) return;
    const ids = this.ids.peek();
    const held = ids.indexOf(document.id);
    if (!selects(this.filter, document)) return this.#drop(document.id);
    // Only a new name moves a document: neither its time nor its size change.
    if (held >= 0 && this.filter.sort !== "filename") return;
    const others = held < 0 ? ids : ids.toSpliced(held, 1);
    const at = this.#position(others, document);
    // What belongs after the pages that were read comes with its own page.
    if (at === others.length && !this.complete.peek()) {
      if (held >= 0) this.ids.value = others;
      return;
    }
    this.ids.value = others.toSpliced(at, 0, document.id);
  }

  // Returns where a document belongs among others, by bisection.
  #position(others: readonly string[], document: Document): number {
    let low = 0;
    let high = others.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = documentOf(others[middle]!)?.peek();
      if (other && compare(this.filter, other, document) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #drop(id: string): void {
    const held = this.ids.peek().indexOf(id);
    if (held >= 0) this.ids.value = this.ids.peek().toSpliced(held, 1);
  }
}
