// Sends the files that a user drops. Small files get their URLs a hundred at a time and are sent
// with one PUT each; large ones are sent in parts. Failures that pass are never shown as failures.
import { batch, effect } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, Failure } from "../api/problem.js";
import { config, session, user } from "../api/session.js";
import type { Document, UploadResult } from "../api/types.js";
import { connection } from "../documents/live.js";
import { documentOf, onChange, put, remove, type Change } from "../documents/store.js";
import { refusal, uploadName, uploadType } from "./check.js";
import { clearConfirm, confirmed, confirmLater } from "./confirm.js";
import { claim, clearInterrupted, findInterrupted, followInterrupted } from "./interrupted.js";
import { sendParts } from "./parts.js";
import { inTurn, putBody, shareConnections, type Target } from "./put.js";
import { forget, forgetAll, holdTab, remember } from "./records.js";
import { passes, pause, persist, wake } from "./retry.js";
import {
  clearRoom,
  isOutdated,
  isReserved,
  left,
  release,
  reserve,
  settle,
  updateRoom,
} from "./room.js";
import { addRows, clearRows, isActive, removeRow, setSent, setState, totals } from "./rows.js";
import { Upload, type Actions, type Description } from "./upload.js";

export { interrupted } from "./interrupted.js";
export { totals, uploads, type Totals } from "./rows.js";
export { Upload, type UploadState } from "./upload.js";

// URLs are valid for 15 minutes, so they are not requested long before they are used.
const filesAhead = 100; // the most that one request can ask for
const bytesAhead = 256e6;
const refill = 20; // ask for more while so many are left, so that the line never idles
const senders = 6;
const largeAtOnce = 2;
const promptly = 3; // attempts after which an upload waits behind the others

// Where the uploads are that have not ended, unless they are paused.
const line = new Set<Upload>(); // without a URL
const repeated = new Set<Upload>(); // the same, but first
const large = new Set<Upload>(); // to be sent in parts
const asked = new Set<Upload>(); // their URLs are being requested
const ready = new Map<Upload, Target>();
const running = new Map<Upload, AbortController>();

// The uploads whose documents have been created.
const byDocument = new Map<string, Upload>();

let owner = ""; // the user whose files are sent
let life = new AbortController(); // aborted when that user signs out

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

function enqueue(upload: Upload): void {
  if (upload.description.multipart) large.add(upload);
  else if (asked.has(upload)) return; // its URL is on its way
  else if (upload.attempts > 0 && upload.attempts < promptly) repeated.add(upload);
  else line.add(upload);
  queueMicrotask(pump); // once all files of a batch are in the line
}

// Takes an upload from wherever it is, and stops sending it.
function withdraw(upload: Upload): void {
  for (const place of [line, repeated, large, ready]) place.delete(upload);
  running.get(upload)?.abort();
  running.delete(upload);
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
    withdraw(upload);
    removeRow(upload);
    leave(upload);
    pump();
    const id = upload.documentId.peek();
    if (id) await discard(id, upload);
  },
  dismiss(upload) {
    if (hasEnded(upload)) removeRow(upload);
  },
};

const hasEnded = ({ state }: Upload) => /^(sent|refused|failed)$/.test(state.peek());

// Gives up what was kept for an upload that will not be sent.
function leave(upload: Upload): void {
  release(upload);
  forget(owner, upload.id);
  byDocument.delete(upload.documentId.peek() ?? "");
}

// Deletes a document whose file will not be sent.
async function discard(id: string, { description }: Upload): Promise<void> {
  const params = { path: { id } };
  const document = "/api/documents/{id}";
  const path = description.multipart ? (`${document}/multipart-upload` as const) : document;
  try {
    await persist(() => call<unknown>(api.DELETE(path, { params })), { stop: life.signal });
  } catch (error) {
    if (life.signal.aborted) return;
    // The file of a multipart upload may have arrived after all; then the document stays.
    if (asFailure(error).code !== "not_found") return;
  }
  remove(id);
}

function fail(upload: Upload, failure: Failure): void {
  withdraw(upload);
  leave(upload);
  const id = upload.documentId.peek();
  setState(upload, id || failure.code === "not_found" ? "failed" : "refused", failure);
  setSent(upload, 0);
  if (id && failure.code.startsWith("file_")) void discard(id, upload);
}

// Notes the document of an upload.
function created(upload: Upload, document: Document): void {
  if (upload.removed) {
    const cancelled = !life.signal.aborted && upload.documentId.peek() === null;
    if (cancelled) void discard(document.id, upload);
    return;
  }
  if (!hasEnded(upload)) {
    upload.documentId.value = document.id;
    byDocument.set(document.id, upload);
    remember(owner, upload.description, document.id);
  }
  put(document);
}

const awaitsFile = (document: Document | undefined) =>
  document?.status === "pending" || document?.status === "expired";

// Storage has the file of an upload.
function arrived(upload: Upload): void {
  if (upload.state.peek() === "sent") return;
  forget(owner, upload.id);
  setSent(upload, upload.size);
  setState(upload, "sent");
  const id = upload.documentId.peek()!;
  const document = documentOf(id)?.peek();
  if (awaitsFile(document)) confirmLater(id);
  else conclude(upload, document);
}

// The server has the file of an upload, or its document was deleted.
function conclude(upload: Upload, document: Document | undefined): void {
  confirmed(upload.documentId.peek()!);
  settle(upload, document?.status);
}

function follow(change: Change): void {
  const document = "deleted" in change ? undefined : change.document;
  const id = "deleted" in change ? change.deleted : change.document.id;
  const upload = byDocument.get(id);
  if (!upload || awaitsFile(document)) return;
  if (!document) byDocument.delete(id);
  if (upload.state.peek() === "sent") {
    conclude(upload, document);
    if (!document) removeRow(upload);
  } else if (!document) fail(upload, new Failure("not_found"));
  else if (!running.has(upload)) {
    // The response to the PUT was lost, but not the file.
    withdraw(upload);
    arrived(upload);
  }
}

function pump(): void {
  void ask();
  for (let n = ready.size; n > 0 && sending < senders; n--) void send();
  for (const upload of large) {
    if (sendingLarge >= largeAtOnce) break;
    large.delete(upload);
    void sendLarge(upload);
  }
}

let asking = false;

// Requests URLs for the uploads in the line, a hundred at most, when few are left.
async function ask(): Promise<void> {
  if (asking) return;
  asking = true;
  const stop = life.signal;
  try {
    for (let failures = 0, next = nextInLine(); next.length > 0; next = nextInLine()) {
      const failure = await askFor(next, stop);
      if (failure) failures = await pause(failures + 1, stop, failure.retryAfter);
      else failures = 0;
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    asking = false;
    if (stop.aborted) void ask(); // for the next user
  }
}

function nextInLine(): Upload[] {
  const next: Upload[] = [];
  if (ready.size > refill) return next;
  let bytes = [...ready.keys()].reduce((sum, { size }) => sum + size, 0);
  for (const uploads of [repeated, line]) {
    for (const upload of uploads) {
      bytes += upload.size;
      const enough = bytes > bytesAhead && next.length + ready.size > 0;
      if (enough || next.length === filesAhead) return next;
      uploads.delete(upload);
      next.push(upload);
    }
  }
  return next;
}

// Requests the URLs of some uploads. Returns a failure that passes, if there is one.
async function askFor(next: readonly Upload[], stop: AbortSignal): Promise<Failure | undefined> {
  for (const upload of next) asked.add(upload);
  const items = next.map(({ description: { key, name, type, size } }) => {
    return { filename: name, content_type: type, size, idempotency_key: key };
  });
  let results: readonly (UploadResult | Failure)[];
  try {
    results = (await call(api.POST("/api/documents/upload-urls", { body: { items } }))).items;
  } catch (error) {
    const failure = asFailure(error);
    results = next.map(() => failure);
  }
  stop.throwIfAborted();
  asked.clear();
  let passing: Failure | undefined;
  batch(() =>
    next.forEach((upload, n) => {
      const failure = takeResult(upload, results[n]!);
      if (failure) passing = failure;
    }),
  );
  pump();
  return passing;
}

// Takes in the result of a request for a URL. Returns a failure that passes, if it is one.
function takeResult(upload: Upload, result: UploadResult | Failure): Failure | undefined {
  const paused = upload.state.peek() === "paused";
  if (!(result instanceof Failure) && "document" in result) {
    created(upload, result.document);
    if (upload.removed || hasEnded(upload)) return undefined;
    if (!result.upload) {
      arrived(upload);
    } else if (!paused) {
      shareConnections(result.upload.url);
      ready.set(upload, result.upload);
    }
    return undefined;
  }
  const failure =
    result instanceof Failure ? result : new Failure(result.problem.code, result.problem);
  if (upload.removed) return undefined;
  if (!passes(failure)) {
    fail(upload, failure);
    return undefined;
  }
  if (!paused) {
    setState(upload, "retrying");
    repeated.add(upload);
  }
  return failure;
}

let sending = 0;

// Sends what is ready, one file after the other. After a failure, only this sender waits.
async function send(): Promise<void> {
  const stop = life.signal;
  sending++;
  try {
    for (let failures = 0; ; ) {
      const result = await inTurn(sendNext);
      if (result === "nothing") return;
      if (result === "done" && failures > 0) wake(); // the others need not wait either
      failures = result === "failed" ? await pause(failures + 1, stop) : 0;
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    sending--;
  }
}

function begin(upload: Upload): AbortController {
  const stop = new AbortController();
  running.set(upload, stop);
  setState(upload, "sending");
  return stop;
}

async function sendNext(): Promise<"nothing" | "failed" | "done"> {
  const [next] = ready;
  if (!next) return "nothing";
  const [upload, target] = next;
  ready.delete(upload);
  void ask();
  const stop = begin(upload);
  const progress = (bytes: number) => setSent(upload, bytes);
  try {
    const outcome = await putBody(target, upload.file, progress, stop.signal);
    running.delete(upload);
    if (outcome === "stored") arrived(upload);
    else if (outcome === "refused") fail(upload, new Failure("file_changed"));
    else if (outcome === "unreadable") fail(upload, new Failure("file_unreadable"));
    else if (outcome === "rejected") fail(upload, new Failure("storage_refused"));
    else {
      // The same request returns a new URL, or none if the file has arrived.
      upload.attempts++;
      setSent(upload, 0);
      setState(upload, "retrying");
      if (outcome === "expired" && upload.attempts === 1) enqueue(upload);
      else {
        void again(upload, life.signal);
        return "failed";
      }
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  return "done";
}

// Puts an upload that has failed back into the line after a pause, unless something else happens to
// it meanwhile. The pause is its own, so that several senders do not take it in turn.
async function again(upload: Upload, stop: AbortSignal): Promise<void> {
  await pause(upload.attempts, stop).catch(() => undefined);
  const waits = upload.state.peek() === "retrying" && !running.has(upload) && !ready.has(upload);
  if (!stop.aborted && !upload.removed && waits) enqueue(upload);
}

let sendingLarge = 0;

async function sendLarge(upload: Upload): Promise<void> {
  sendingLarge++;
  const stop = begin(upload);
  const show = (state: "sending" | "retrying") => {
    if (!stop.signal.aborted && upload.state.peek() !== state) setState(upload, state);
  };
  const events = {
    created: (document: Document) => created(upload, document),
    progress: (bytes: number) => {
      if (stop.signal.aborted) return;
      show("sending");
      setSent(upload, bytes);
    },
    failed: () => show("retrying"),
  };
  try {
    await sendParts(upload, events, stop.signal);
    running.delete(upload);
    arrived(upload);
  } catch (error) {
    if (!stop.signal.aborted) fail(upload, asFailure(error));
  } finally {
    sendingLarge--;
    pump();
  }
}

/** Follows the session and sends files while the user is signed in. Call it once. */
export function startUploads(): void {
  holdTab();
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
    owner = user.peek()!.id;
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

// Forgets everything of a user who has signed out.
function clear(): void {
  life.abort();
  life = new AbortController();
  for (const stop of running.values()) stop.abort();
  for (const place of [line, repeated, large, asked, ready, running, byDocument]) place.clear();
  if (owner) forgetAll(owner);
  owner = "";
  clearRows();
  clearRoom();
  clearConfirm();
  clearInterrupted();
}
