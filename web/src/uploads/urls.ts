// Requesting the URLs of the files that are sent with one PUT each, up to a hundred at a time.
import { batch } from "@preact/signals";
import { api, call } from "../api/client.js";
import { asFailure, Failure } from "../api/problem.js";
import type { UploadResult } from "../api/types.js";
import { asked, line, ready, repeated } from "./line.js";
import { arrived, created, fail, hasEnded } from "./outcome.js";
import { life } from "./owner.js";
import { shareConnections } from "./put.js";
import { passes, pause } from "../api/retry.js";
import { setState } from "./rows.js";
import type { Upload } from "./upload.js";

// URLs are valid for 15 minutes, so they are not requested long before they are used.
const filesAhead = 100; // the most that one request can ask for
const bytesAhead = 256e6;
const refill = 20; // ask for more while so many are left, so that the line never idles

let asking = false;

/** Requests URLs for the uploads in the line when few are left. Calls send after each result. */
export async function requestURLs(send: () => void): Promise<void> {
  if (asking) return;
  asking = true;
  const stop = life.signal;
  try {
    for (let failures = 0, next = nextInLine(); next.length > 0; next = nextInLine()) {
      const failure = await requestFor(next, stop);
      send();
      if (failure) failures = await pause(failures + 1, stop, failure.retryAfter);
      else failures = 0;
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    asking = false;
    if (stop.aborted) void requestURLs(send); // for the next user
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
async function requestFor(
  next: readonly Upload[],
  stop: AbortSignal,
): Promise<Failure | undefined> {
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
