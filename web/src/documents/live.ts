// Changes as they happen: one stream of server-sent events for all tabs of the browser. The tab
// that holds the lock reads it and passes the events on; when that tab is closed, the one that has
// waited longest continues where it stopped.
import { signal } from "@preact/signals";
import { authorizedFetch } from "../api/client.js";
import { Failure, failureOf } from "../api/problem.js";
import { expireAnyToken } from "../api/token.js";
import type { Document } from "../api/types.js";

/** An event of `GET /api/documents/events`. */
export type LiveEvent =
  | { event: "document"; data: Document }
  | { event: "deleted"; data: { id: string } }
  | { event: "resync" | "pending" | "quota" | "topics" }
  | { event: "end"; data: { reason: string } };

/** Whether changes arrive: `polling` if the stream keeps failing, but other requests may not. */
export type Connection = "connecting" | "live" | "polling" | "offline";
export const connection = signal<Connection>("connecting");

// A line of the stream, or the state of the connection, as one tab passes it on to the others.
type Passed = { id: string; event?: LiveEvent } | { connection: Connection };

const heartbeat = 15_000; // The server sends something at least this often.
const slowest = 30_000; // the longest pause between two attempts
const untilPolling = 3; // failures in a row

/**
 * Calls listener with every event after the given position (an `events_after`) until stop is
 * aborted. After a gap in the hints, it calls listener with all of them.
 */
export function follow(
  user: string,
  position: string,
  listener: (event: LiveEvent) => void,
  stop: AbortSignal,
): void {
  let last = position;
  const channel = new BroadcastChannel(`intray-live-${user}`);
  const receive = (passed: Passed) => {
    if (stop.aborted) return;
    if ("connection" in passed) {
      connection.value = passed.connection;
      return;
    }
    last = passed.id || last; // in every tab, because each may be the next one that reads
    if (passed.event) listener(passed.event);
  };
  channel.onmessage = ({ data }: MessageEvent<Passed>) => receive(data);
  stop.addEventListener("abort", () => channel.close());
  const pass = (passed: Passed) => {
    if (stop.aborted) return;
    receive(passed);
    channel.postMessage(passed);
  };

  // A tab that does not read gets the state from its first event.
  connection.value = navigator.onLine ? "live" : "offline";
  navigator.locks
    .request(`intray-live-${user}`, { signal: stop }, () => readAll(() => last, pass, stop))
    .catch((error: unknown) => {
      if (!stop.aborted) throw error;
    });
}

async function readAll(
  last: () => string,
  pass: (passed: Passed) => void,
  stop: AbortSignal,
): Promise<void> {
  for (let failures = 0; !stop.aborted; ) {
    let reason = ""; // for which the server has ended the stream
    let reached = true; // whether other requests may succeed
    try {
      for await (const passed of readOne(last(), stop)) {
        if (failures || connection.peek() !== "live") pass({ connection: "live" });
        failures = 0;
        if ("event" in passed && passed.event?.event === "end") {
          reason = passed.event.data.reason;
          if (reason === "user_removed") return pass(passed);
        } else {
          pass(passed);
        }
      }
      if (reason === "token_expired") {
        expireAnyToken();
        continue;
      }
      failures++;
    } catch (error) {
      if (stop.aborted) return;
      if (!(error instanceof Failure)) throw error;
      if (error.code === "unauthenticated") return; // the session has ended
      reached = navigator.onLine && error.code !== "network";
      failures += error.code === "silent" ? untilPolling : 1;
    }
    if (!navigator.onLine) pass({ connection: "offline" });
    else if (failures >= untilPolling) pass({ connection: "polling" });
    else if (!reason) pass({ connection: "connecting" });
    // Where something in between breaks streams, ask as often as the stream is attempted.
    if (failures >= untilPolling && reached) pass({ id: "", event: { event: "resync" } });
    // Not all pages should return at the same moment.
    await pause(Math.min(500 * 2 ** failures, slowest) * (0.5 + Math.random() / 2), stop);
  }
}

const hints = ["pending", "quota", "topics"] as const;

async function* readOne(last: string, stop: AbortSignal): AsyncGenerator<Passed> {
  const silent = new AbortController();
  const abort = () => silent.abort();
  let code: "network" | "silent" = "network";
  const giveUp = () => {
    code = "silent";
    abort();
  };
  let timer = setTimeout(giveUp, 2 * heartbeat);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, 2 * heartbeat);
  };
  // A browser that goes offline does not end a response by itself.
  addEventListener("offline", abort, { signal: silent.signal });
  try {
    const request = new Request("/api/documents/events", {
      headers: { "Last-Event-ID": last },
      signal: AbortSignal.any([stop, silent.signal]),
    });
    const response = await authorizedFetch(request);
    if (!response.ok) throw failureOf(response, await response.json().catch(() => null));
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = "", begun = false; ; begun = true) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      // Hints are not stored, so some may have been missed.
      for (const event of begun ? [] : hints) yield { id: "", event: { event } };
      const blocks = (text + value).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) yield parse(block);
    }
  } catch (error) {
    if (error instanceof Failure || stop.aborted) throw error;
    throw new Failure(code);
  } finally {
    clearTimeout(timer);
    abort();
  }
}

function parse(block: string): Passed {
  let id = "";
  let event = "";
  let data = "";
  for (const line of block.split("\n")) {
    const [, field, value = ""] = /^(\w+): ?(.*)$/.exec(line) ?? []; // not heartbeats
    if (field === "id") id = value;
    if (field === "event") event = value;
    if (field === "data") data = value;
  }
  return event ? { id, event: { event, data: JSON.parse(data) } as LiveEvent } : { id };
}

/** Waits, but not while a browser that was offline is online again. */
function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    stop.addEventListener("abort", done);
  });
}
