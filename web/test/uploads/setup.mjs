// What the tests of uploads share: a page without views, and a proxy between the browser and the
// servers, which loses, delays and refuses what a test wants.
import { once } from "node:events";
import { createServer as createHTTPServer, request as send } from "node:http";
import { after, before, beforeEach } from "node:test";

import { createServer } from "vite";

import { addUser, forwardTo, openPage, running } from "../harness.mjs";

// How the proxy treats PUT requests. Each function gets the request.
export const storage = {};

beforeEach(() => {
  Object.assign(storage, {
    delay: 0, // of each response, in milliseconds
    ready: async () => {}, // resolves when the response may begin
    hold: () => false, // sends nothing to storage, and never responds
    refuse: () => 0, // a status with which to respond instead of storage
    lose: () => false, // the response of storage
    cut: () => false, // the connection, when all but the last bytes were sent
    begun: 0, // requests
    inFlight: 0,
    most: 0, // in flight at the same time
  });
});

let pages;
let proxy;

before(async () => {
  pages = await createServer({
    root: new URL("../..", import.meta.url).pathname,
    logLevel: "error",
    server: { host: "127.0.0.1", port: 0, hmr: false, ws: false, watch: null },
  });
  await pages.listen();
  proxy = createHTTPServer(forward).listen(0, "127.0.0.1");
  await once(proxy, "listening");
});

after(async () => {
  await pages?.close();
  proxy?.closeAllConnections();
  proxy?.close();
});

const pageOrigin = () => `http://127.0.0.1:${pages.httpServer.address().port}`;

// Below the origin of the page are the API, and storage for pages that are to find it there.
function forward(request, response) {
  const url = new URL(request.url);
  const headers = { ...request.headers };
  if (url.origin === pageOrigin()) {
    if (url.pathname.startsWith("/api/")) url.host = new URL(running.stack.api).host;
    if (url.pathname.startsWith("/documents/")) {
      url.host = headers.host = new URL(running.stack.gateway).host;
    }
  }
  const isUpload = request.method === "PUT";
  if (isUpload) {
    storage.begun++;
    storage.most = Math.max(storage.most, ++storage.inFlight);
  }
  response.on("close", () => isUpload && storage.inFlight--);
  if (isUpload && storage.hold(request)) return void request.resume();
  const status = isUpload && storage.refuse(request);
  if (status) {
    request.resume().on("end", () => {
      response.writeHead(status, { "Access-Control-Allow-Origin": "*" }).end();
    });
    return;
  }
  const begin = isUpload ? send : forwardTo;
  const upstream = begin(url, { method: request.method, headers });
  upstream.on("error", () => response.destroy());
  response.on("close", () => response.writableFinished || upstream.destroy());
  upstream.on("response", (got) => {
    if (isUpload && storage.lose(request)) {
      // A browser repeats a request by itself if nothing at all of the response arrives.
      response.writeHead(got.statusCode, { "Content-Length": 1 }).flushHeaders();
      setImmediate(() => response.destroy());
      return;
    }
    const respond = () => got.pipe(response.writeHead(got.statusCode, got.headers));
    if (isUpload) void storage.ready(request).then(() => setTimeout(respond, storage.delay));
    else respond();
  });
  if (!isUpload || !storage.cut(request)) return void request.pipe(upstream);
  // Storage gets nine tenths of the body.
  let left = Math.floor(headers["content-length"] * 0.9);
  request.on("data", (chunk) => {
    // The request may have arrived whole by then, so its connection is closed.
    if (left > 0) upstream.write(chunk.subarray(0, left), () => left <= 0 && response.destroy());
    left -= chunk.length;
  });
}

// Opens the page in a browser profile of its own, or in that of an open page, and signs in there.
// prepare is called with the profile; config has members that replace those of the configuration.
export async function open(t, { quota = 2 ** 30, config, prepare } = {}) {
  const user = await addUser({ quota });
  const page = await openPage(t, { url: "about:blank", ...behindProxy() });
  page.user = user;
  const context = page.context();
  if (config) {
    const response = await fetch(`${running.stack.api}/api/config`);
    const json = { ...(await response.json()), ...config };
    await context.route("**/api/config", (route) => route.fulfill({ json }));
  }
  await prepare?.(context);
  await visit(page);
  await signIn(page);
  return page;
}

// The options of a browser profile whose requests pass through the proxy.
export const behindProxy = () => ({
  proxy: { server: `http://127.0.0.1:${proxy.address().port}`, bypass: "<-loopback>" },
});

export async function visit(page) {
  await page.goto(`${pageOrigin()}/test/uploads/page.html`);
  await page.waitForFunction(() => document.title === "ready");
}

export const signIn = (page) =>
  page.evaluate(({ email, password }) => signIn(email, password), page.user);

// The requests since begin, by method and path, with * for ids and PUT for all uploads.
export function counts(page, begin = 0) {
  const all = {};
  for (const request of page.requests.slice(begin)) {
    const { pathname } = new URL(request.url());
    const isUpload = request.method() === "PUT";
    if (!isUpload && !pathname.startsWith("/api/")) continue;
    const path = pathname.replace("/api/", "").replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "*");
    const key = isUpload ? "PUT" : `${request.method()} ${path}`;
    all[key] = (all[key] ?? 0) + 1;
  }
  return all;
}

// Adds files that are made in the page, with a content or a size. Returns the states of all uploads
// before any request was sent.
export const add = (page, files) =>
  page.evaluate((list) => {
    addFiles(
      list.map(({ name, type = "text/plain", size, content }) => {
        const body = content ?? Uint32Array.from({ length: size / 4 }, (_, i) => i * 2654435761);
        return new File([body], name, { type, lastModified: 1_700_000_000_000 });
      }),
    );
    return uploads.value.map(({ state }) => state.value);
  }, files);

export const texts = (count) =>
  Array.from({ length: count }, (_, i) => ({ name: `${i}.txt`, content: `Invoice ${i}` }));

export const rows = (page) =>
  page.evaluate(() =>
    uploads.value.map((upload) => ({
      name: upload.name,
      state: upload.state.value,
      sent: upload.sent.value,
      document: upload.documentId.value,
      code: upload.failure.value?.code,
      problem: upload.failure.value?.problem,
    })),
  );

export async function states(page) {
  const all = {};
  for (const { state, code } of await rows(page)) {
    const key = code ? `${state}: ${code}` : state;
    all[key] = (all[key] ?? 0) + 1;
  }
  return all;
}

export const ended = (page) =>
  page.waitForFunction(
    () => uploads.value.every(({ state }) => /^(sent|refused|failed)$/.test(state.value)),
    null,
    { timeout: 90_000 },
  );

export const sent = (page, count) =>
  page.waitForFunction((n) => totals.value.done >= n, count, { timeout: 90_000 });

// Waits until the page knows that the server has the files of all uploads that were sent.
export const confirmed = (page) =>
  page.waitForFunction(
    () =>
      uploads.value.every(
        ({ state, documentId }) =>
          state.value !== "sent" || documentOf(documentId.value)?.value.status !== "pending",
      ),
    null,
    { timeout: 60_000 },
  );

export const remembered = (page) =>
  page.evaluate(() => Object.keys(localStorage).filter((name) => name.startsWith("intray-upload")));
