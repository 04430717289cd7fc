// What the page shows of the uploads: their list, their states, and sums over all of them. Sums and
// numbers of bytes change at most once per animation frame, however many files are being sent.
import { batch, signal, type ReadonlySignal } from "@preact/signals";
import type { Failure } from "../api/problem.js";
import type { Upload, UploadState } from "./upload.js";

export type Totals = {
  files: number;
  done: number;
  refused: number; // or failed
  bytes: number; // of all files but those
  sent: number; // bytes
  active: boolean; // whether anything is waiting or being sent
};

const none: Totals = { files: 0, done: 0, refused: 0, bytes: 0, sent: 0, active: false };

const list = signal<readonly Upload[]>([]);
/** The uploads, the newest batch first, and each batch in the order in which it was added. */
export const uploads: ReadonlySignal<readonly Upload[]> = list;

const sums = signal(none);
/** Sums over the uploads in the list. */
export const totals: ReadonlySignal<Totals> = sums;

let byState: Partial<Record<UploadState, number>> = {};
let bytes = 0;
let sent = 0;
let removed = false;
const progress = new Map<Upload, number>(); // since the last frame

const count = (state: UploadState) => byState[state] ?? 0;
const ended = (state: UploadState) => state === "refused" || state === "failed";

// Counts an upload, with 1, or no longer, with -1.
function tally(upload: Upload, sign: 1 | -1): void {
  const state = upload.state.peek();
  byState[state] = count(state) + sign;
  if (ended(state)) return;
  bytes += sign * upload.size;
  sent += sign * upload.sent.peek();
}

/** Reports whether anything is waiting or being sent. */
export const isActive = () => count("waiting") + count("sending") + count("retrying") > 0;

/** Adds a batch. If all earlier uploads are done, sums begin anew without those that were sent. */
export function addRows(added: readonly Upload[]): void {
  let others = list.peek();
  if (!isActive()) others = others.filter((upload) => !forgetSent(upload));
  for (const upload of added) tally(upload, 1);
  list.value = [...added, ...others];
  draw();
}

function forgetSent(upload: Upload): boolean {
  if (upload.state.peek() !== "sent") return false;
  upload.removed = true;
  tally(upload, -1);
  return true;
}

/** Removes an upload from the list. */
export function removeRow(upload: Upload): void {
  if (upload.removed) return;
  upload.removed = removed = true;
  tally(upload, -1);
  draw();
}

/** Removes all uploads from the list. */
export function clearRows(): void {
  for (const upload of list.peek()) upload.removed = true;
  byState = {};
  bytes = sent = 0;
  progress.clear();
  list.value = [];
  sums.value = none;
}

/** Changes the state of an upload. */
export function setState(upload: Upload, state: UploadState, failure: Failure | null = null): void {
  batch(() => {
    if (!upload.removed) tally(upload, -1);
    upload.state.value = state;
    upload.failure.value = failure;
    if (!upload.removed) tally(upload, 1);
  });
  draw();
}

/** Sets how many bytes of an upload were sent. */
export function setSent(upload: Upload, count: number): void {
  progress.set(upload, count);
  draw();
}

let drawing = false;

// Browsers draw no frames of a hidden page, but its title may show the sums.
function draw(): void {
  if (drawing) return;
  drawing = true;
  if (document.hidden) setTimeout(drawNow, 1000);
  else requestAnimationFrame(drawNow);
}

function drawNow(): void {
  if (!drawing) return;
  drawing = false;
  batch(() => {
    for (const [upload, count] of progress) {
      if (!upload.removed && !ended(upload.state.peek())) sent += count - upload.sent.peek();
      upload.sent.value = count;
    }
    progress.clear();
    if (removed) list.value = list.peek().filter((upload) => !upload.removed);
    removed = false;
    sums.value = {
      files: list.peek().length,
      done: count("sent"),
      refused: count("refused") + count("failed"),
      bytes,
      sent,
      active: isActive(),
    };
  });
}

document.addEventListener("visibilitychange", drawNow);
