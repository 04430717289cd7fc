// Confirming uploads of which storage's notification is late. Usually nothing is left to do here.
import { api, call } from "../api/client.js";
import { asFailure } from "../api/problem.js";
import { put } from "../documents/store.js";

const timeout = 10_000; // milliseconds
const most = 6; // attempts; after that, the server's own sweep confirms the document

// When to confirm which document. All wait equally long, so the first one is always the next.
const due = new Map<string, { at: number; attempts: number }>();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Confirms a document whose file was sent, unless `confirmed` is called within 10 seconds. */
export function confirmLater(id: string, attempts = 0): void {
  due.set(id, { at: Date.now() + timeout, attempts });
  timer ??= setTimeout(confirmDue, timeout);
}

/** Notes that a document needs no confirmation any more. */
export const confirmed = (id: string) => void due.delete(id);

/** Forgets all documents. */
export const clearConfirm = () => due.clear();

async function confirmDue(): Promise<void> {
  for (const [id, { at, attempts }] of due) {
    if (at > Date.now()) break;
    due.delete(id);
    try {
      put(await call(api.POST("/api/documents/{id}/confirm", { params: { path: { id } } })));
    } catch (error) {
      const { code } = asFailure(error);
      if (code !== "not_found" && attempts + 1 < most) confirmLater(id, attempts + 1);
    }
  }
  const [next] = due.values();
  timer = next && setTimeout(confirmDue, Math.max(0, next.at - Date.now()));
}
