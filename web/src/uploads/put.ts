// Sending bytes to storage.

/** Where and how to send a file or a part of it, as the API says. */
export type Target = { url: string; headers: Record<string, string> };

// A connection on which nothing moves for so long is given up, in milliseconds.
const silence = 120_000;

/** What became of a PUT. */
export type Outcome =
  | "stored"
  | "expired" // the URL
  | "refused" // this is not the file that was announced
  | "missing" // the upload of which this is a part
  | "unreadable" // the file
  | "rejected" // for a reason that stays, such as a proxy's limit of the size
  | "exhausted" // the gateway forwards the bytes of one part only so often
  | "failed"; // for a reason that passes

/**
 * Sends body to target and calls progress with the number of bytes that were sent. Rejects only if
 * stop is aborted.
 */
export async function putBody(
  target: Target,
  body: Blob,
  progress: (bytes: number) => void,
  stop: AbortSignal,
): Promise<Outcome> {
  stop.throwIfAborted(); // while it waited for its turn
  const { status, text } = await request(target, body, progress, stop);
  stop.throwIfAborted();
  switch (status) {
    case 200:
    case 412: // an earlier PUT, the response to which was lost, has stored the file
      return "stored";
    case 400:
      return "refused";
    case 403:
      return "expired";
    case 404:
      return "missing";
    case 0: // the browser reports a file that it cannot read in the same way as a lost connection
      return (await isReadable(body)) ? "failed" : "unreadable";
    case 408:
    case 429:
      return "failed";
    case 409:
      return text.includes("<Code>PartSentTooOften<") ? "exhausted" : "rejected";
    default:
      return status < 500 ? "rejected" : "failed";
  }
}

// Returns the response, the status of which is zero if there is none. Only XMLHttpRequest reports
// how much of a body was sent.
function request(
  { url, headers }: Target,
  body: Blob,
  progress: (bytes: number) => void,
  stop: AbortSignal,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    let timer = setTimeout(abort, silence);
    xhr.upload.onprogress = ({ loaded }) => {
      clearTimeout(timer);
      timer = setTimeout(abort, silence);
      progress(loaded);
    };
    xhr.onloadend = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", abort);
      resolve({ status: xhr.status, text: xhr.responseText });
    };
    xhr.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    stop.addEventListener("abort", abort);
    xhr.send(body);
  });
}

async function isReadable(body: Blob): Promise<boolean> {
  try {
    // A part of an empty file is read without looking at the file.
    await (body.size > 0 ? body.slice(0, 1) : body).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

const most = 6; // connections that a browser opens to one origin over HTTP/1.1
const mostBeside = 4; // of these, if the API is called over them too
let free = most;
let shared = false;
const waiting: (() => void)[] = [];

/** Runs work when fewer than six PUTs are running, and after those that asked before. */
export async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = free < 0 ? undefined : waiting.shift();
    if (next) next();
    else free++;
  }
}

/** Leaves connections to the API if url, which is in storage, has the origin of the page. */
export function shareConnections(url: string): void {
  if (shared || new URL(url).origin !== location.origin) return;
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (page?.nextHopProtocol !== "http/1.1") return;
  shared = true;
  free -= most - mostBeside;
}
