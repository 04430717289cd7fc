// Sending a large file in parts. Whatever interrupts it, it goes on with the missing parts.
import { api, call } from "../api/client.js";
import { Failure, type FailureCode } from "../api/problem.js";
import type { Document } from "../api/types.js";
import type { components } from "../api/schema.js";
import { inTurn, putBody, shareConnections, type Outcome, type Target } from "./put.js";
import { pause, persist } from "../api/retry.js";
import type { Upload } from "./upload.js";

type Multipart = components["schemas"]["MultipartUpload"];

const multipart = "/api/documents/{id}/multipart-upload";

const concurrent = 3; // parts of one file
const signedAtOnce = 16; // URLs, which are valid for 15 minutes
const mostRefusals = 3; // of a part that was sent too often; another transfer may still be ending

// The outcomes after which a file is not sent again.
const final: Partial<Record<Outcome, FailureCode>> = {
  refused: "file_changed",
  unreadable: "file_unreadable",
  rejected: "storage_refused",
  missing: "wrong_status",
};

/** What is called while a file is being sent. */
export type Events = {
  created: (document: Document) => void;
  progress: (bytes: number) => void;
  failed: () => void; // for a reason that passes
};

/**
 * Sends the file of an upload, or the parts of it that storage does not have. Returns when storage
 * has the file. Throws a Failure that does not pass, or rejects if stop is aborted.
 */
export async function sendParts(upload: Upload, events: Events, stop: AbortSignal): Promise<void> {
  const options = { stop, failed: events.failed };
  const { key, name, type, size } = upload.description;
  const body = { filename: name, content_type: type, size };
  const header = { "Idempotency-Key": key };
  for (let failures = 0; ; failures = await pause(failures + 1, stop)) {
    // The document is noted even if the upload was stopped meanwhile.
    const begun = await persist(async () => {
      const path = "/api/documents/multipart-upload";
      const result = await call(api.POST(path, { params: { header }, body }));
      events.created(result.document);
      return result;
    }, options);
    if (!begun.upload) return;
    const params = { path: { id: begun.document.id } };
    try {
      await sendMissing(upload, begun.document.id, begun.upload, events, stop);
      const complete = () => call(api.POST(`${multipart}/complete`, { params, body: {} }));
      events.created(await persist(complete, options));
      return;
    } catch (error) {
      // A part got lost, or the upload has ended: the same request begins a new one.
      if (!(error instanceof Failure) || !/^(object_missing|wrong_status)$/.test(error.code)) {
        throw error;
      }
    }
  }
}

async function sendMissing(
  upload: Upload,
  id: string,
  { part_size, part_count }: Multipart,
  events: Events,
  stopped: AbortSignal,
): Promise<void> {
  const end = new AbortController(); // of the other parts, when one cannot be sent
  const stop = AbortSignal.any([stopped, end.signal]);
  const storedParts = async () => {
    const list = () => call(api.GET(multipart, { params: { path: { id } } }));
    const { parts } = await persist(list, { stop, failed: events.failed });
    return new Map(parts.map(({ number, size }) => [number, size]));
  };
  const stored = await storedParts();
  const sent = new Map(stored); // bytes by the number of the part
  const report = () => events.progress([...sent.values()].reduce((sum, bytes) => sum + bytes, 0));
  const numbers = Array.from({ length: part_count }, (_, index) => index + 1);
  const missing = numbers.filter((number) => !stored.has(number));
  const targetOf = signer(id, missing, events, stop);

  const sendOne = async (number: number) => {
    const body = upload.file.slice((number - 1) * part_size, number * part_size);
    const progress = (bytes: number) => {
      sent.set(number, bytes);
      report();
    };
    for (let failures = 0, refusals = 0; ; ) {
      const target = await targetOf(number, failures > 0);
      const outcome = await inTurn(() => putBody(target, body, progress, stop));
      if (outcome === "stored") return progress(body.size);
      progress(0);
      const reason = final[outcome];
      if (reason) throw new Failure(reason);
      // A URL that has expired is simply replaced.
      if (outcome === "expired" && ++failures === 1) continue;
      events.failed();
      // Only the response may have been lost, and storage keeps every transfer for a while.
      if ((await storedParts()).get(number) === body.size) return progress(body.size);
      if (outcome === "exhausted" && ++refusals === mostRefusals) {
        throw new Failure("sent_too_often");
      }
      failures = Math.max(1, await pause(failures + 1, stop));
    }
  };
  const queue = missing.values();
  const sendSome = async () => {
    for (const number of queue) await sendOne(number);
  };
  report();
  try {
    await Promise.all(Array.from({ length: concurrent }, sendSome));
  } finally {
    end.abort();
  }
}

// Returns a function that returns where a part is sent. It gets the URLs of several parts at once,
// in the order of missing; a new one if renew is set.
function signer(id: string, missing: number[], events: Events, stop: AbortSignal) {
  let unsigned = missing;
  const targets = new Map<number, Target>();
  let signing: Promise<void> | undefined;

  const sign = async () => {
    const parts = unsigned.slice(0, signedAtOnce).map((number) => ({ number }));
    unsigned = unsigned.slice(signedAtOnce);
    const request = { params: { path: { id } }, body: { parts } };
    const work = () => call(api.POST(`${multipart}/parts`, request));
    const { items } = await persist(work, { stop, failed: events.failed });
    for (const { number, url, headers } of items) targets.set(number, { url, headers });
    shareConnections(items[0]!.url);
  };

  return async (number: number, renew: boolean): Promise<Target> => {
    if (renew) unsigned = [number, ...unsigned];
    while (!targets.has(number)) await (signing ??= sign().finally(() => (signing = undefined)));
    const target = targets.get(number)!;
    targets.delete(number);
    return target;
  };
}
