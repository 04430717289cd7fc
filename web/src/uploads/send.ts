// Sending the files whose turn it is: six small ones at a time, and two large ones in parts.
import { asFailure, Failure } from "../api/problem.js";
import type { Document } from "../api/types.js";
import { large, lineUp, ready, running } from "./line.js";
import { arrived, created, fail } from "./outcome.js";
import { life } from "./owner.js";
import { sendParts } from "./parts.js";
import { inTurn, putBody } from "./put.js";
import { pause, wake } from "../api/retry.js";
import { setSent, setState } from "./rows.js";
import { requestURLs } from "./urls.js";
import type { Upload } from "./upload.js";

const senders = 6;
const largeAtOnce = 2;

/** Sends an upload when its turn comes. */
export function enqueue(upload: Upload): void {
  lineUp(upload);
  queueMicrotask(pump); // once all files of a batch are in the line
}

/** Sends as much as may be sent at the same time. */
export function pump(): void {
  void requestURLs(pump);
  for (let n = ready.size; n > 0 && sending < senders; n--) void sendSmall();
  for (const upload of large) {
    if (sendingLarge >= largeAtOnce) break;
    large.delete(upload);
    void sendLarge(upload);
  }
}

function begin(upload: Upload): AbortController {
  const stop = new AbortController();
  running.set(upload, stop);
  setState(upload, "sending");
  return stop;
}

let sending = 0;

// Sends what is ready, one file after the other. After a failure, only this sender waits.
async function sendSmall(): Promise<void> {
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

async function sendNext(): Promise<"nothing" | "failed" | "done"> {
  const [next] = ready;
  if (!next) return "nothing";
  const [upload, target] = next;
  ready.delete(upload);
  void requestURLs(pump);
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
