// A list of documents: pages of the API's listing, kept current with every change that arrives.
//
// - Pages are read one after the other, from the first one on, as far as the reader scrolls.
// - A change that arrives is placed where it belongs, without reading anything.
// - If changes were missed, the first page is read again at once, for what is new, and each other
//   page when one of its documents is seen.
import { batch, signal, type ReadonlySignal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, isTemporary, type Failure } from "../api/problem.js";
import { pause, wake } from "../api/retry.js";
import type { Document, DocumentPage } from "../api/types.js";
import { compare, queryOf, selects, type Filter } from "./filter.js";
import { Order } from "./order.js";
import { documentOf, hold, onChange, put } from "./store.js";

const pageSize = 100;
const querySerializer = { array: { style: "form", explode: false } } as const;

/** Where a page begins: after a document, or, if there is none, with the first one. */
type Start = { after?: Document | undefined; cursor: string | null };

export class DocumentList {
  /** Whether all pages were read. */
  readonly complete = signal(false);
  /** Whether the first page was read. */
  readonly ready = signal(false);
  /** Why the last page could not be read. Reading it is repeated if that may help. */
  readonly failure = signal<Failure | null>(null);
  /** The position in the event stream from before the first page was read. */
  position = "";

  readonly #order: Order;
  readonly #end = new AbortController(); // aborted when the list is closed
  readonly #stops: (() => void)[];

  #starts: Start[] = [{ cursor: null }]; // of the pages that were read, and of the next one
  #reading: Promise<void> | null = null;
  #changed = new Set<string>(); // the documents that changed while a page was being read
  #failures = 0; // in a row
  #pausing = false; // whether reading is going to be repeated

  // What is to be read:
  #wantsNext = false; // the next page
  #wantsFirst = false; // the first page again
  #stale = new Set<string>(); // the pages of these documents again, when they are seen
  #seen: readonly string[] | undefined; // by the reader; undefined: all

  constructor(readonly filter: Filter) {
    this.#order = new Order(filter);
    this.#stops = [
      hold((id) => this.#order.has(id) || this.#changed.has(id)),
      onChange((change) => {
        const id = "deleted" in change ? change.deleted : change.document.id;
        if (this.#reading) this.#changed.add(id);
        this.#follow(id, change.before);
      }),
    ];
  }

  /** The ids of the documents that were read so far, in the order of the list. */
  get ids(): ReadonlySignal<readonly string[]> {
    return this.#order.ids;
  }

  /** Stops following changes. */
  close(): void {
    this.#end.abort();
    for (const stop of this.#stops) stop();
  }

  /** Reads the next page that has documents, unless all were read. Returns also if that fails. */
  more(): Promise<void> {
    this.#wantsNext ||= !this.complete.peek();
    return this.#read();
  }

  /** Reads pages for as long as goOn returns true, up to the last one. Ends if one fails. */
  async moreWhile(goOn: () => boolean): Promise<void> {
    while (!this.complete.peek() && goOn()) {
      await this.more();
      if (this.failure.peek() || this.#end.signal.aborted) return;
    }
  }

  /** Reads at once what could not be read. */
  retry(): Promise<void> {
    if (this.#pausing) wake();
    return this.#read();
  }

  /** Reads the first page again and those that are seen, because changes were missed. */
  async refresh(): Promise<void> {
    await this.#reading; // it may have begun before the changes
    this.#wantsFirst = true;
    this.#stale = new Set(this.ids.peek());
    return this.#read();
  }

  /** Sets which documents are seen. */
  see(ids: readonly string[]): void {
    this.#seen = ids;
    if (!this.failure.peek() && this.#nextStale()) void this.#read();
  }

  // Reads all that is to be read. After a failure that passes, it is called again after a pause.
  #read(): Promise<void> {
    this.#reading ??= this.#readWanted()
      .catch((error: unknown) => this.#fail(asFailure(error)))
      .finally(() => (this.#reading = null));
    return this.#reading;
  }

  #fail(failure: Failure): void {
    if (this.#end.signal.aborted) return;
    this.failure.value = failure;
    if (!isTemporary(failure) || this.#pausing) return;
    this.#pausing = true;
    void pause(this.#failures + 1, this.#end.signal, failure.retryAfter).then(
      (failures) => {
        this.#pausing = false;
        this.#failures = failures;
        void this.#read();
      },
      () => undefined, // closed
    );
  }

  async #readWanted(): Promise<void> {
    while (!this.#end.signal.aborted) {
      const stale = this.#nextStale();
      if (this.#wantsFirst) {
        await this.#readPage(this.#starts[0]!);
        this.#wantsFirst = false;
      } else if (stale) {
        await this.#readPage(this.#startOf(stale));
        this.#stale.delete(stale); // even if it is not where the API has it
      } else if (this.#wantsNext && !this.complete.peek()) {
        // A page may be empty although others follow.
        this.#wantsNext = (await this.#readPage(this.#starts.at(-1)!)) === 0;
      } else {
        return;
      }
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

  // Reads a page and returns how many documents it has.
  async #readPage(start: Start): Promise<number> {
    const { cursor } = start;
    const query = { ...queryOf(this.filter), ...(cursor && { cursor }), limit: pageSize };
    const page = await call(api.GET("/api/documents", { params: { query }, querySerializer }));
    if (!this.#end.signal.aborted) batch(() => this.#take(start, page));
    return page.items.length;
  }

  // Puts a page in the place of what was between its start and its last document.
  #take(start: Start, { items, next_cursor: cursor, events_after }: DocumentPage): void {
    const changed = [...this.#changed]; // not by this page
    const listed = new Set(items.map(({ id }) => id));
    this.#order.expect(listed);
    items.forEach(put);
    const last = items.at(-1) ?? start.after;
    const upTo = cursor === null ? "end" : last;
    const { gone, atEnd } = this.#order.replace(listed, start.after, upTo);

    this.#noteStarts(start, last, cursor);
    this.position ||= events_after;
    this.complete.value = cursor === null || (this.complete.peek() && !atEnd);
    this.ready.value = true;
    this.failure.value = null;
    this.#failures = 0;

    for (const id of listed) this.#stale.delete(id);
    for (const id of gone) if (!this.#stale.delete(id)) this.#follow(id); // newer than the page
    for (const id of changed) this.#follow(id);
    for (const id of listed) if (!documentOf(id)) this.#remove(id); // deleted meanwhile
    this.#changed.clear();
  }

  // Notes that a page was read, and where the next one begins. Others follow where they did, unless
  // they began within this page.
  #noteStarts(start: Start, last: Document | undefined, cursor: string | null): void {
    const read = this.#starts.slice(0, this.#starts.indexOf(start) + 1);
    const following = this.#starts.slice(read.length).filter(({ after }) => {
      return after && (!last || compare(this.filter, after, last) > 0);
    });
    this.#starts = cursor === null ? read : [...read, { after: last, cursor }, ...following];
  }

  // Follows a change of a document. before: as it was, if that is known.
  #follow(id: string, before?: Document): void {
    const document = documentOf(id)?.peek();
    if (document) this.#place(document, before);
    else this.#remove(id, before);
  }

  // Puts a document where it belongs, or removes it if the filter no longer selects it.
  #place(document: Document, before?: Document): void {
    if (!this.ready.peek()) return;
    const { id, filename } = document;
    const selected = selects(this.filter, document);
    // Only a new name moves a document: neither its time nor its size change.
    const stays = this.filter.sort !== "filename" || before?.filename === filename;
    if (selected && stays && this.#order.has(id)) return;
    batch(() => {
      this.#remove(id, before);
      // What belongs after the pages that were read comes with its own page.
      if (selected) this.#order.insert(document, !this.complete.peek());
    });
  }

  #remove(id: string, before?: Document): void {
    this.#stale.delete(id);
    this.#order.remove(id, before);
  }
}
