// What the page shows of the user's data, kept current while the user is signed in: the list that
// the address asks for, the topics, the counts, and the quota.
import { batch, computed, effect, signal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure } from "../api/problem.js";
import { session, updateUser, user } from "../api/session.js";
import type { DocumentCounts, Topic } from "../api/types.js";
import { t } from "../i18n/index.js";
import { path, query } from "../router.js";
import { fold, isFiltered, readFilter } from "./filter.js";
import { DocumentList } from "./list.js";
import { follow, type LiveEvent } from "./live.js";
import { put, remove } from "./store.js";

/** The topics that the user can assign: the system's and their own. */
export const topics = signal<readonly Topic[]>([]);
const topicsById = computed(() => new Map(topics.value.map((topic) => [topic.id, topic])));

/** Returns a topic by its id, if it (still) exists. */
export const topicOf = (id: string): Topic | undefined => topicsById.value.get(id);

// The names, in one case, that both a topic of the user and one of everybody have.
const sharedNames = computed(() => {
  const namesOf = (scope: Topic["scope"]) =>
    topics.value.filter((topic) => topic.scope === scope).map(({ name }) => fold(name));
  const own = new Set(namesOf("user"));
  return new Set(namesOf("system").filter((name) => own.has(name)));
});

/** Returns the name of a topic as it is shown where topics of the user and of everybody mix. */
export function topicName(topic: Pick<Topic, "id" | "name" | "scope">): string {
  const { name, scope } = topicOf(topic.id) ?? topic; // it may have been renamed
  const isShared = scope === "system" && sharedNames.value.has(fold(name));
  return isShared ? t("topic.ofEverybody", { name }) : name;
}

/** The numbers of documents, or null before they are known. */
export const counts = signal<DocumentCounts | null>(null);

/** The list that the address asks for. It is kept while another view is shown. */
export const list = signal(new DocumentList({}));

/** Whether the list leaves documents out. */
export const filtered = computed(() => isFiltered(list.value.filter));

/** How often changes were missed. What is shown and not kept by this module is then read again. */
export const resyncs = signal(0);

// In milliseconds.
const quiet = 2000; // without a call, after which what was called for is loaded
const longestWait = 32_000; // between two loads while calls keep coming

/**
 * Returns a function that calls load: now, or if it has just been called, once no call has come for
 * a while. While calls keep coming, load is called after waits that double each time, so the upload
 * of many files takes few requests.
 */
function repeatable(load: () => Promise<void>): () => void {
  const shortestWait = quiet / 2;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let called = -Infinity;
  let loaded = -Infinity;
  let wait = shortestWait;
  const run = () => {
    loaded = performance.now();
    if (loaded - called < quiet) wait = Math.min(2 * wait, longestWait);
    // Without a response, the next event or resync loads it.
    load().catch(asFailure);
  };
  return () => {
    const now = performance.now();
    if (now - called >= wait) wait = shortestWait;
    called = now;
    clearTimeout(timer);
    const left = loaded + wait - now;
    if (left <= 0) run();
    else timer = setTimeout(run, Math.min(quiet, left));
  };
}

export const loadTopics = repeatable(async () => {
  topics.value = (await call(api.GET("/api/topics"))).items;
});

export const loadCounts = repeatable(async () => {
  counts.value = await call(api.GET("/api/documents/counts"));
});

const loadUser = repeatable(updateUser);

const loadPending = repeatable(async () => {
  const params = { query: { status: ["pending" as const], limit: 100 } };
  const querySerializer = { array: { style: "form", explode: false } } as const;
  const page = await call(api.GET("/api/documents", { params, querySerializer }));
  batch(() => page.items.forEach(put));
});

function receive(event: LiveEvent): void {
  switch (event.event) {
    case "document":
      put(event.data);
      loadCounts();
      break;
    case "deleted":
      remove(event.data.id);
      loadCounts();
      break;
    case "pending":
      loadPending();
      break;
    case "quota":
      loadUser();
      break;
    case "topics":
      loadTopics();
      break;
    case "resync":
      resyncs.value++;
      void list.peek().refresh();
      for (const load of [loadTopics, loadCounts, loadUser]) load();
  }
}

/** Follows the address and, while the user is signed in, the changes on the server. */
export function startSync(): void {
  let shown = "{}";
  effect(() => {
    // Another view than the intray keeps the list.
    if (path.value === "/") shown = JSON.stringify(readFilter(query.value));
    if (JSON.stringify(list.peek().filter) !== shown) {
      list.peek().close();
      list.value = new DocumentList(JSON.parse(shown));
    }
    if (session.value.state === "signed-in") void list.peek().more();
  });

  effect(() => {
    const id = session.value.state === "signed-in" ? user.peek()?.id : undefined;
    if (!id) return undefined;
    const stop = new AbortController();
    const first = list.peek();
    void first.more().then(() => {
      if (!stop.signal.aborted) follow(id, first.position, receive, stop.signal);
    });
    loadTopics();
    loadCounts();
    return () => stop.abort();
  });
}
