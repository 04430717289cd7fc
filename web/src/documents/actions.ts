// What a user does to documents: one call for up to a hundred of them, with an undo where there is
// one, and a message about what could not be done.
import { batch, signal } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, Failure } from "../api/problem.js";
import { beforeSignOut } from "../api/session.js";
import type { BatchAction, Document } from "../api/types.js";
import { t, tOr } from "../i18n/index.js";
import { settle, toast } from "../ui/toasts.js";
import { documentOf, put, remove } from "./store.js";

const most = 100; // ids a call
const atOnce = 12; // calls: browsers limit the bodies of requests that outlive a page to 64 KiB

/** The documents that the user has deleted and can still have back. No list shows them. */
export const leaving = signal<ReadonlySet<string>>(new Set());

/** The documents of the last action that was undone. */
export const undone = signal<readonly string[]>([]);

/** Reports whether a document has a file that can be downloaded, sorted again and changed. */
export const isStored = ({ status }: Document): boolean =>
  status === "uploaded" || status === "classified" || status === "failed";

async function change(
  ids: readonly string[],
  action: BatchAction,
  topicIDs?: readonly string[],
): Promise<void> {
  const failures: Failure[] = [];
  const changeSome = async (some: readonly string[]) => {
    const body = { ids: [...some], action, ...(topicIDs && { topic_ids: [...topicIDs] }) };
    try {
      // The page may be closing, so few requests wait for another one.
      const request = { body, keepalive: true };
      const { items } = await call(api.POST("/api/documents/batch", request));
      batch(() => {
        for (const { id, document, problem } of items) {
          if (document) put(document);
          else if (problem?.code === "not_found") remove(id);
          else if (problem) failures.push(new Failure(problem.code, problem));
        }
      });
    } catch (error) {
      failures.push(...some.map(() => asFailure(error)));
    }
  };
  const groups: (readonly string[])[] = [];
  for (let i = 0; i < ids.length; i += most) groups.push(ids.slice(i, i + most));
  const queue = groups.values();
  const changeInTurn = async () => {
    for (const some of queue) await changeSome(some);
  };
  await Promise.all(Array.from({ length: atOnce }, changeInTurn));
  if (failures.length > 0) {
    throw Object.assign(failures[0]!, { count: failures.length });
  }
}

/** Shows why an action failed. */
export function showFailure(error: unknown): void {
  const failure = asFailure(error);
  const n = (failure as Failure & { count?: number }).count ?? 1;
  const why = tOr(`code.${failure.code}`, "code.other");
  toast({ text: n > 1 ? t("actions.failed", { n, why }) : why });
}

/**
 * Deletes documents once they can no longer be had back. Deleting cannot be undone on the server,
 * so the request is sent when the toast goes away, or the page.
 */
export function deleteDocuments(ids: readonly string[]): void {
  if (ids.length === 0) return;
  settle();
  leaving.value = new Set([...leaving.peek(), ...ids]);
  const stay = () => {
    const next = new Set(leaving.peek());
    ids.forEach((id) => next.delete(id));
    leaving.value = next;
  };
  toast({
    text: t("deleted", { n: ids.length }),
    undo: () => {
      stay();
      undone.value = ids;
    },
    done: () => {
      const sent = change(ids, "delete").catch(showFailure).finally(stay);
      deletions.add(sent);
      void sent.finally(() => deletions.delete(sent));
    },
  });
}

const deletions = new Set<Promise<void>>(); // that are being sent
beforeSignOut(async () => {
  settle();
  await Promise.all(deletions);
});

/** Has documents sorted again. */
export async function sortAgain(ids: readonly string[]): Promise<void> {
  await change(ids, "reclassify").catch(showFailure);
}

/** Adds topics to documents or removes them, with an undo. */
export async function changeTopics(
  ids: readonly string[],
  action: "add_topics" | "remove_topics" | "set_topics",
  topicIDs: readonly string[],
): Promise<void> {
  const before = new Map<string, string[]>();
  for (const id of ids) {
    const topics = documentOf(id)?.peek().topics;
    if (topics) before.set(id, topics.map((topic) => topic.id));
  }
  try {
    await change(ids, action, topicIDs);
    const undo = () => {
      undone.value = ids;
      void restore(before);
    };
    toast({ text: t("topics.changed", { n: ids.length }), undo });
  } catch (error) {
    showFailure(error);
  }
}

// Sets the topics that documents had, with one call for those that had the same.
async function restore(before: ReadonlyMap<string, string[]>): Promise<void> {
  const same = Map.groupBy(before, ([, topics]) => topics.toSorted().join());
  for (const group of same.values()) {
    const ids = group.map(([id]) => id);
    await change(ids, "set_topics", group[0]![1]).catch(showFailure);
  }
}

/** Renames a document. Throws a Failure. */
export async function rename(id: string, filename: string): Promise<void> {
  const params = { path: { id } };
  put(await call(api.PATCH("/api/documents/{id}", { params, body: { filename } })));
}

/** Returns a URL of a document's file that is valid for some minutes. Throws a Failure. */
export async function fileURL(id: string, disposition: "attachment" | "inline"): Promise<string> {
  const params = { path: { id }, query: { disposition } };
  return (await call(api.GET("/api/documents/{id}/download-url", { params }))).url;
}

/** Has the browser save a document's file. */
export async function download(id: string): Promise<void> {
  try {
    const url = await fileURL(id, "attachment");
    // A frame does not tell whether the file can be read. Storage refuses a range of nothing.
    const headers = { Range: "bytes=0-0" };
    const response = await fetch(url, { headers }).catch(() => {
      throw new Failure("network");
    });
    if (!response.ok && response.status !== 416) throw new Failure("unavailable");
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.src = url;
    document.body.append(frame);
    setTimeout(() => frame.remove(), 60_000);
  } catch (error) {
    showFailure(error);
  }
}
