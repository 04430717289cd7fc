// A list of documents: pages of the API's listing, kept current with every change that arrives.
import { batch, signal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, type Failure } from "../api/problem.js";
import type { Document, DocumentPage } from "../api/types.js";
import { compare, queryOf, selects, type Filter } from "./filter.js";
import { documentOf, hold, onChange, put } from "./store.js";

const pageSize = 100;
const querySerializer = { array: { style: "form", explode: false } } as const;

/** Where a page begins: after a document, or with the first one. */
type Start = { after?: Document | undefined; cursor: string | null };

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

  #starts: Start[] = [{ cursor: null }]; // of the pages that were read, and of the next one
  #held = new Set<string>(); // the same as ids
  #missed = false; // whether the first page must be read again, because changes were missed
  #stale = new Set<string>(); // the documents whose pages must be read again
  #seen: readonly string[] | undefined; // by the reader; undefined: all
  #loading: Promise<void> | null = null;
  #closed = false;
  #meanwhile = new Set<string>(); // the documents that changed while a page was being read
  #stops = [
    hold((id) => this.#held.has(id) || this.#meanwhile.has(id)),
    onChange((change) => {
      const id = "deleted" in change ? change.deleted : change.document.id;
      if (this.#loading) this.#meanwhile.add(id);
      this.#follow(id, change.before);
    }),
  ];

  constructor(readonly filter: Filter) {}

  /** Stops following changes. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
  }

  /** Reads the next page, unless one is being read or there is none. */
  more(): Promise<void> {
    if (this.complete.peek()) return Promise.resolve();
    return this.#load(() => this.#read(this.#starts.at(-1)!));
  }

  /** Reads what could not be read. */
  retry(): Promise<void> {
    return this.#missed || this.#nextStale() ? this.#load(() => this.#readAgain()) : this.more();
  }

  /** Reads the first page again and those that are seen, because changes were missed. */
  async refresh(): Promise<void> {
    await this.#loading;
    this.#missed = true;
    this.#stale = new Set(this.#held);
    return this.#load(() => this.#readAgain());
  }

  /** Sets which documents are seen. After a refresh, the pages of others are read when they are. */
  see(ids: readonly string[]): void {
    this.#seen = ids;
    if (!this.failure.peek() && this.#nextStale()) void this.#load(() => this.#readAgain());
  }

  #load(task: () => Promise<void>): Promise<void> {
    this.#loading ??= task()
      .catch((error: unknown) => {
        if (!this.#closed) this.failure.value = asFailure(error);
      })
      .finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #readAgain(): Promise<void> {
    if (this.#missed) await this.#read(this.#starts[0]!);
    this.#missed = false;
    let last: Start | undefined;
    for (let id = this.#nextStale(); id && !this.#closed; id = this.#nextStale()) {
      const start = this.#startOf(id);
      // A document that is not where the API has it must not be looked for again and again.
      if (start === last) this.#stale.delete(id);
      else await this.#read((last = start));
    }
  }

  #nextStale(): string | undefined {
    if (this.#stale.size === 0) return undefined;
    return (this.#seen ?? this.ids.peek()).find((id) => this.#stale.has(id));
  }

  // Returns where the page with a document begins.
  #startOf(id: string): Start {
    const document = documentOf(id)!.peek();
    const begins = ({ after }: Start) => !after || compare(this.filter, after, document) < 0;
    return this.#starts.findLast(begins)!;
  }

  async #read(start: Start): Promise<void> {
    const { cursor } = start;
    const query = { ...queryOf(this.filter), ...(cursor && { cursor }), limit: pageSize };
    const page = await call(api.GET("/api/documents", { params: { query }, querySerializer }));
    if (!this.#closed) batch(() => this.#take(start, page));
  }

  // Puts a page in the place of what was between its start and its last document.
  #take(start: Start, { items, next_cursor: cursor, events_after }: DocumentPage): void {
    this.position ||= events_after;
    const changed = [...this.#meanwhile];
    for (const { id } of items) this.#held.add(id); // the store must not forget them
    items.forEach(put);
    const listed = new Set(items.map(({ id }) => id));
    const others = this.ids.peek().filter((id) => !listed.has(id));
    const last = items.at(-1) ?? start.after;
    const from = this.#lengthUpTo(start.after, others);
    const to = cursor === null ? others.length : Math.max(from, this.#lengthUpTo(last, others));
    this.ids.value = [...others.slice(0, from), ...listed, ...others.slice(to)];
    this.complete.value = cursor === null || (this.complete.peek() && to < others.length);
    this.ready.value = true;
    this.failure.value = null;

    const earlier = this.#starts.slice(0, this.#starts.indexOf(start) + 1);
    const isLater = ({ after }: Start) =>
      after && (!last || compare(this.filter, after, last) > 0);
    const later = this.#starts.slice(earlier.length).filter(isLater);
    this.#starts = cursor === null ? earlier : [...earlier, { after: last, cursor }, ...later];

    for (const id of listed) this.#stale.delete(id);
    for (const id of others.slice(from, to)) {
      this.#held.delete(id);
      if (!this.#stale.delete(id)) this.#follow(id); // it is newer than the page
    }
    for (const id of changed) this.#follow(id);
    for (const id of listed) if (!documentOf(id)) this.#drop(id); // deleted meanwhile
    this.#meanwhile.clear();
  }

  // before: the document before a change, if it is known.
  #follow(id: string, before?: Document): void {
    const document = documentOf(id)?.peek();
    if (document) this.#place(document, before);
    else this.#drop(id, before);
  }

  /** Puts a document where it belongs, or removes it if the filter no longer selects it. */
  #place(document: Document, before?: Document): void {
    if (!this.ready.peek()) return;
    const { id, filename } = document;
    const selected = selects(this.filter, document);
    // Only a new name moves a document: neither its time nor its size change.
    const stays = this.filter.sort !== "filename" || before?.filename === filename;
    if (selected && stays && this.#held.has(id)) return;
    batch(() => {
      this.#drop(id, before);
      const ids = this.ids.peek();
      const at = selected ? this.#position(document, ids) : -1;
      // What belongs after the pages that were read comes with its own page.
      if (at < 0 || (at === ids.length && !this.complete.peek())) return;
      this.#held.add(id);
      this.ids.value = ids.toSpliced(at, 0, id);
    });
  }

  #drop(id: string, before?: Document): void {
    this.#stale.delete(id);
    if (!this.#held.delete(id)) return;
    const ids = this.ids.peek();
    let at = before ? this.#position(before, ids) : -1;
    if (ids[at] !== id) at = ids.indexOf(id);
    if (at >= 0) this.ids.value = ids.toSpliced(at, 1);
  }

  // Returns where a document belongs, by bisection.
  #position(document: Document, ids: readonly string[]): number {
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = documentOf(ids[middle]!)?.peek();
      if (other && compare(this.filter, other, document) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Returns how many documents there are up to one, including it.
  #lengthUpTo(document: Document | undefined, ids: readonly string[]): number {
    if (!document) return 0;
    const at = this.#position(document, ids);
    return ids[at] === document.id ? at + 1 : at;
  }
}
