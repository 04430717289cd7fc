// The files that a user drops, and what the user does with them. Small files get their URLs a
// hundred at a time and are sent with one PUT each; large ones are sent in parts. Failures that
// pass are never shown as failures.
import { batch, effect } from "@preact/signals";
import { asFailure, Failure } from "../api/problem.js";
import { config, session, user } from "../api/session.js";
import { connection } from "../documents/live.js";
import { onChange } from "../documents/store.js";
import { refusal, uploadName, uploadType } from "./check.js";
import { clearConfirm } from "./confirm.js";
import { claim, clearInterrupted, findInterrupted, followInterrupted } from "./interrupted.js";
import { clearLine, withdraw } from "./line.js";
import { abandon, clearOutcome, discard, follow, hasEnded } from "./outcome.js";
import { clearOwner, life, owner, setOwner } from "./owner.js";
import { countElsewhere, forgetOld, holdTab } from "./records.js";
import { wake } from "../api/retry.js";
import { clearRoom, isOutdated, isReserved, left, reserve, updateRoom } from "./room.js";
import { addRows, clearRows, isActive, removeRow, setSent, setState, totals } from "./rows.js";
import { enqueue, pump } from "./send.js";
import { Upload, type Actions, type Description } from "./upload.js";

export { interrupted } from "./interrupted.js";
export { totals, uploads, type Totals } from "./rows.js";
export { Upload, type UploadState } from "./upload.js";

/** Adds files to the line, in their order. Those that would be refused are not sent at all. */
export function addFiles(files: readonly File[]): void {
  const resumed: Upload[] = [];
  const added: Upload[] = [];
  const all = files.map((file) => {
    const record = claim(file);
    const upload = new Upload(file, record ?? describe(file), actions);
    (record ? resumed : added).push(upload);
    return upload;
  });
  batch(() => {
    addRows(all);
    resumed.forEach(admit);
    const acceptable = added.filter((upload) => {
      const failure = refusal(upload, config.peek());
      if (failure) setState(upload, "refused", failure);
      return !failure;
    });
    const bytes = acceptable.reduce((sum, { size }) => sum + size, 0);
    if (bytes <= left() || !isOutdated()) return admitFitting(acceptable);
    // If the quota cannot be read, the server decides.
    void updateRoom()
      .then(() => admitFitting(acceptable))
      .catch((error) => {
        asFailure(error);
        acceptable.forEach(admit);
      });
  });
}

/** Resumes the interrupted upload of a document with its file, or says that it is another file. */
export function resumeWith(documentId: string, file: File): "ok" | "other-file" {
  const record = claim(file, documentId);
  if (!record) return "other-file";
  const upload = new Upload(file, record, actions);
  addRows([upload]);
  admit(upload);
  return "ok";
}

function describe(file: File): Description {
  const from = config.peek()?.multipart_from_bytes ?? Infinity;
  return {
    key: crypto.randomUUID(),
    name: uploadName(file.name),
    size: file.size,
    type: uploadType(file, config.peek()),
    lastModified: file.lastModified,
    multipart: file.size > 0 && file.size >= from,
  };
}

function admitFitting(uploads: readonly Upload[]): void {
  for (const upload of uploads) {
    if (upload.removed) continue;
    const { size } = upload;
    if (size <= left()) admit(upload);
    else setState(upload, "refused", new Failure("quota_exceeded", { size, left: left() }));
  }
}

function admit(upload: Upload): void {
  if (upload.removed) return;
  reserve(upload);
  if (upload.state.peek() === "waiting") enqueue(upload);
}

const actions: Actions = {
  pause(upload) {
    const state = upload.state.peek();
    if (state !== "waiting" && state !== "sending" && state !== "retrying") return;
    withdraw(upload);
    setState(upload, "paused");
    if (!upload.description.multipart) setSent(upload, 0);
    pump();
  },
  resume(upload) {
    if (upload.state.peek() !== "paused") return;
    setState(upload, "waiting");
    if (isReserved(upload)) enqueue(upload); // otherwise that depends on the quota
  },
  async cancel(upload) {
    if (hasEnded(upload)) return removeRow(upload);
    abandon(upload);
    pump();
    const id = upload.documentId.peek();
    if (id) await discard(id, upload);
  },
  dismiss(upload) {
    if (hasEnded(upload)) removeRow(upload);
  },
};

/** Follows the session and sends files while the user is signed in. Call it once. */
export function startUploads(): void {
  holdTab();
  forgetOld();
  onChange(follow);
  followInterrupted();
  addEventListener("online", wake);
  effect(() => {
    if (connection.value === "live") wake();
  });

  const find = () => {
    if (owner) findInterrupted(owner, find, life.signal).catch(asFailureUnlessStopped);
  };
  effect(() => {
    if (session.value.state !== "signed-in") return;
    setOwner(user.peek()!.id);
    wake();
    find();
  });
  effect(() => {
    if (!user.value) clear();
  });
  // Other tabs may have begun uploads.
  document.addEventListener("visibilitychange", () => document.hidden || find());

  effect(() => {
    if (!totals.value.active) return undefined;
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  });
}

function asFailureUnlessStopped(error: unknown): void {
  if (!(error instanceof DOMException)) asFailure(error);
}

// Where the page is loaded again for another user, there is nothing that this one could decide.
function warn(event: BeforeUnloadEvent): void {
  if (isActive() && session.peek().state !== "starting") event.preventDefault();
}

/** Returns how many files would not be sent if the user signed out, which ends it in all tabs. */
export async function countUnfinished(): Promise<number> {
  const { files, done, refused } = totals.peek();
  return files - done - refused + (await countElsewhere(owner));
}

// Ends everything of a user who has signed out. Records of what was being sent are kept: it goes on
// when the same user signs in and chooses the files again.
function clear(): void {
  clearOwner();
  clearLine();
  clearOutcome();
  clearRows();
  clearRoom();
  clearConfirm();
  clearInterrupted();
}
