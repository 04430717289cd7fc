// What users do to their own topics, and administrators to those of the system.
import { batch, signal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, Failure } from "../api/problem.js";
import type { DocumentPage, Topic } from "../api/types.js";
import { t } from "../i18n/index.js";
import { toast } from "../ui/toasts.js";
import { put, remove } from "./store.js";
import { counts, list, loadCounts, topics } from "./sync.js";

/** What a user enters for a topic. */
export type TopicValues = { name: string; description: string; keywords: string[] };

type Scope = Topic["scope"];

// The same calls, for the topics of the user and of the system.
const pathOf = (scope: Scope) =>
  scope === "system" ? ("/api/admin/topics" as const) : ("/api/topics" as const);

/** Creates a topic. Throws a Failure. */
export async function createTopic(
  scope: Scope,
  values: Pick<TopicValues, "name"> & Partial<TopicValues>,
): Promise<Topic> {
  const topic = await call(api.POST(pathOf(scope), { body: values }));
  topics.value = [...topics.peek(), topic];
  return topic;
}

/** Changes a topic, which then is no longer a suggestion. Throws a Failure. */
export async function updateTopic(
  { id, scope }: Topic,
  values: Partial<TopicValues>,
): Promise<void> {
  const params = { path: { id } };
  const topic = await call(api.PATCH(`${pathOf(scope)}/{id}`, { params, body: values }));
  topics.value = topics.peek().map((other) => (other.id === id ? topic : other));
}

/** Deletes a topic and removes it from all documents. Throws a Failure. */
export async function deleteTopic({ id, scope }: Topic): Promise<void> {
  const params = { path: { id } };
  try {
    await call(api.DELETE(`${pathOf(scope)}/{id}`, { params }));
  } catch (error) {
    if (asFailure(error).code !== "not_found") throw error;
  }
  topics.value = topics.peek().filter((topic) => topic.id !== id);
  void list.peek().refresh(); // documents that had it do not change their version
  loadCounts();
}

/** How far a merge is, or why it has stopped. Beginning again continues it. */
export type Merge = { into: Topic; done: number; of: number; failure: Failure | null };

/** The merges that are going on or have stopped, by the id of the topic that is to go. */
export const merges = signal<ReadonlyMap<string, Merge>>(new Map());

function setMerge(id: string, merge: Merge | null): void {
  const next = new Map(merges.peek());
  if (merge) next.set(id, merge);
  else next.delete(id);
  merges.value = next;
}

/**
 * Gives all documents of a topic another one, and then deletes the topic. Adding a topic twice
 * changes nothing, so a merge that was interrupted can begin again.
 */
export async function mergeTopic(from: Topic, into: Topic): Promise<void> {
  const of = counts.peek()?.by_topic[from.id] ?? 0;
  let done = 0;
  const report = (failure: Failure | null) => setMerge(from.id, { into, done, of, failure });
  report(null);
  try {
    let cursor: string | null = null;
    do {
      const query = { topic: from.id, limit: 100, ...(cursor && { cursor }) };
      const page: DocumentPage = await call(api.GET("/api/documents", { params: { query } }));
      const ids = page.items.map(({ id }) => id);
      if (ids.length > 0) await addTopic(ids, into.id);
      done += ids.length;
      report(null);
      cursor = page.next_cursor;
    } while (cursor);
    await deleteTopic(from);
    setMerge(from.id, null);
    toast({ text: t("topic.merged", { from: from.name, into: into.name }) });
  } catch (error) {
    report(asFailure(error));
  }
}

// The topic must not be deleted unless all its documents have the other one.
async function addTopic(ids: string[], topicID: string): Promise<void> {
  const body = { ids, action: "add_topics" as const, topic_ids: [topicID] };
  const { items } = await call(api.POST("/api/documents/batch", { body }));
  let failure: Failure | undefined;
  batch(() => {
    for (const { id, document, problem } of items) {
      if (document) put(document);
      else if (problem?.code === "not_found") remove(id);
      else if (problem) failure = new Failure(problem.code, problem);
    }
  });
  if (failure) throw failure;
}
