// Which documents a list shows and in which order. The API decides both; this decides where a
// change that arrives belongs, so that the list does not have to be read again.
import type { Document, ListedStatus } from "../api/types.js";

/** What a list shows and in which order, as in the query of `GET /api/documents`. */
export type Filter = {
  status?: ListedStatus[];
  topic?: string; // an id, or "none"
  q?: string;
  from?: string;
  to?: string;
  sort?: "created_at" | "filename" | "size";
  order?: "asc" | "desc";
};

const statuses: readonly string[] = [
  "pending",
  "uploaded",
  "classified",
  "failed",
  "rejected",
  "expired",
  "quarantined",
] satisfies ListedStatus[];

const topicPattern = /^(none|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** Reads a filter from the query of an address. What the API would refuse is left out. */
export function readFilter(query: URLSearchParams): Filter {
  const text = (name: string) => query.get(name) || undefined;
  const status = text("status")?.split(",").filter((s): s is ListedStatus => statuses.includes(s));
  const sort = text("sort");
  const order = text("order");
  const filter: Filter = {};
  if (status?.length) filter.status = status;
  const topic = text("topic");
  if (topic && topicPattern.test(topic)) filter.topic = topic;
  const q = text("q")?.slice(0, 255);
  if (q) filter.q = q;
  for (const name of ["from", "to"] as const) {
    const day = text(name);
    if (day && /^\d{4}-\d\d-\d\d$/.test(day) && Date.parse(day)) filter[name] = day;
  }
  if (sort === "filename" || sort === "size") filter.sort = sort;
  if (order === "asc" || order === "desc") filter.order = order;
  return filter;
}

/** Returns the address of the intray with a filter. */
export function addressOf(filter: Filter): string {
  const query = Object.entries(filter).map(([name, value]) => [name, String(value)]);
  const text = new URLSearchParams(query).toString();
  return text ? `/?${text}` : "/";
}

/** Reports whether a filter leaves documents out. */
export const isFiltered = ({ status, topic, q, from, to }: Filter): boolean =>
  Boolean(status || topic || q || from || to);

/** Reports whether a filter shows all documents in the usual order. */
export const isPlain = (filter: Filter): boolean => Object.keys(filter).length === 0;

/** Reports whether a filter selects a document. */
export function selects(filter: Filter, document: Document): boolean {
  const { status, topic, q, from, to } = filter;
  if (status && !(status as string[]).includes(document.status)) return false;
  if (topic === "none" && document.topics.length > 0) return false;
  if (topic && topic !== "none" && !document.topics.some(({ id }) => id === topic)) return false;
  if (q && !fold(document.filename).includes(fold(q))) return false;
  const created = Date.parse(document.created_at);
  if (from && created < startOf(from)) return false;
  if (to && created >= startOf(to)) return false;
  return true;
}

// The moment when a day begins where the reader is.
const startOf = (day: string): number => Date.parse(`${day}T00:00`);

/** Returns a filter as the API takes it: a day there is one of UTC, so it gets the moments. */
export function queryOf({ from, to, ...filter }: Filter): Filter {
  const moment = (day: string) => new Date(startOf(day)).toISOString();
  return { ...filter, ...(from && { from: moment(from) }), ...(to && { to: moment(to) }) };
}

/**
 * Returns a text without its case. This is close to the API's full case folding: upper case expands
 * ß to SS, lower case unifies the rest.
 */
export const fold = (text: string): string => text.normalize("NFC").toUpperCase().toLowerCase();

/** Compares two documents in the order of a filter: negative if a comes first. */
export function compare(filter: Filter, a: Document, b: Document): number {
  const sort = filter.sort ?? "created_at";
  const order = filter.order ?? (sort === "filename" ? "asc" : "desc");
  const difference =
    sort === "size"
      ? a.size - b.size
      : sort === "filename"
        ? byCodePoints(fold(a.filename), fold(b.filename))
        : Date.parse(a.created_at) - Date.parse(b.created_at);
  return (difference || byCodePoints(a.id, b.id)) * (order === "asc" ? 1 : -1);
}

const byCodePoints = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
