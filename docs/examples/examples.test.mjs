// Runs the examples of the pages, which extract.mjs has extracted and tsc has compiled, against a
// running stack. The pages of a browser reach it through nginx, with the documented configuration.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { apiBehind, freePort, openPage, provideLocks, startNginx, until, up } from "./stack.mjs";

const example = (name) => readFileSync(new URL(`generated/${name}`, import.meta.url), "utf8");
const load = (name, tab = 1) => import(`./generated/out/${name}.js?tab=${tab}`);
const text = (name) => `Invoice ${name}: please pay the amount within 30 days. `.repeat(40);
const file = (name, size) =>
  new File([size ? new Uint8Array(size) : text(name)], name, { type: "text/plain" });

let stack, api, nginx, origin;

before(async () => {
  stack = await up();
  origin = `http://127.0.0.1:${await freePort()}`;
  api = await apiBehind(stack, origin);
  const server = example("nginx.conf")
    .replace("127.0.0.1:8000", origin.slice("http://".length))
    .replace("http://127.0.0.1:8080", api.url)
    .replace("http://127.0.0.1:9000", stack.gateway);
  nginx = await startNginx(stack.folder, server, `${origin}/api/config`);
  provideLocks();
});

after(async () => {
  nginx?.kill("SIGTERM");
  api?.child.kill("SIGTERM");
  await stack?.stop();
});

// A page on which Alice is signed in.
async function signedIn(intercept) {
  openPage(origin, intercept);
  const client = await import("./generated/out/client.js");
  const { email, password } = stack.account("alice");
  await client.signIn(email, password);
  return client;
}

test("README: curl", async () => {
  const copy = `${text("curl")}\n`;
  writeFileSync(join(stack.folder, "invoice.pdf"), copy);
  const script = example("readme.bash")
    .replace("http://127.0.0.1:8080", stack.api)
    .replace("password=…", `password=${stack.account("alice").password}`);
  const ran = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", script], {
    cwd: stack.folder,
  });
  assert.equal(JSON.parse(ran.stdout).status, "classified", ran.stdout + ran.stderr);
  assert.equal(readFileSync(join(stack.folder, "copy.pdf"), "utf8"), copy);
});

test("README: JavaScript", async () => {
  openPage(stack.api);
  const body = example("readme.js").replace("http://127.0.0.1:8080", stack.api);
  const AsyncFunction = (async () => {}).constructor;
  const page = new AsyncFunction("email", "password", "input", `${body}\nreturn { documents, url };`);
  const { email, password } = stack.account("bob");
  const files = Array.from({ length: 8 }, (_, n) => file(`readme-${n}.txt`));
  const { documents, url } = await page(email, password, { files });
  assert.deepEqual(documents.map(({ status }) => status), Array(8).fill("classified"));
  const stored = await (await fetch(url)).text();
  assert.equal(stored, text(documents[0].filename));
});

test("client.ts: problems, empty responses and expired tokens", async () => {
  let expire = false;
  let refreshes = 0;
  const client = await signedIn((url, { headers }) => {
    if (url.pathname === "/api/auth/refresh") refreshes++;
    else if (expire) headers.set("Authorization", "Bearer expired");
    if (url.pathname === "/api/auth/refresh") expire = false;
  });
  await assert.rejects(client.api("GET", "/api/documents/none"), { code: "not_found" });
  await assert.rejects(client.api("GET", "/bad/gateway"), { code: "unavailable" });
  const topic = await client.api("POST", "/api/topics", { name: "A", description: "", keywords: [] });
  assert.equal(await client.api("DELETE", `/api/topics/${topic.id}`), null); // 204
  expire = true;
  await Promise.all(Array.from({ length: 6 }, () => client.api("GET", "/api/me")));
  assert.equal(refreshes, 1);
  await client.signOut();
  await assert.rejects(client.api("GET", "/api/me"), { code: "unauthenticated" });
});

test("uploads.ts: at most six PUTs at a time, and lost answers", async () => {
  let running = 0;
  let most = 0;
  let lost = 0;
  await signedIn(async (url, options) => {
    if (options.method !== "PUT") return;
    most = Math.max(most, ++running);
    try {
      const response = await nodeFetch(url, options);
      if (response.status !== 200 || lost === 3) return response;
      lost++;
      throw new TypeError("the answer is lost");
    } finally {
      running--;
    }
  });
  const { uploadAll } = await load("uploads");
  const results = [];
  const files = Array.from({ length: 105 }, (_, n) => file(`many-${n}.txt`));
  await uploadAll(files, (of, result) => results.push({ of, ...result }));
  assert.equal(results.length, 105);
  assert.deepEqual(results.filter(({ problem }) => problem), []);
  for (const { of, document } of results) assert.equal(document.filename, of.name);
  assert.equal(new Set(results.map(({ document }) => document.id)).size, 105);
  assert.deepEqual([most, lost], [6, 3]);
});

test("multipart.ts: resumes with the parts that are stored", async () => {
  let sent = 0;
  const { api: call } = await signedIn((url, { method }) => {
    if (method === "PUT" && ++sent === 2) throw new TypeError("the connection is lost");
  });
  const { uploadInParts } = await load("multipart");
  const large = file("large.txt", (17 << 20) + 1);
  const key = crypto.randomUUID();
  await assert.rejects(uploadInParts(large, key), { message: "the connection is lost" });
  const { id, size } = await uploadInParts(large, key);
  assert.equal(size, large.size);
  await call("POST", `/api/documents/${id}/confirm`);
  const { url } = await call("GET", `/api/documents/${id}/download-url`);
  assert.equal((await (await fetch(url)).blob()).size, large.size);
  assert.equal((await uploadInParts(large, key)).id, id);
});

test("changes.ts: one stream for all tabs", async () => {
  let streams = 0;
  let open = 0;
  let tokens = 0;
  const ids = [];
  const { api: call } = await signedIn(async (url, options) => {
    if (url.pathname === "/api/auth/refresh") tokens++;
    if (url.pathname !== "/api/documents/events") return;
    ids.push(options.headers.get("Last-Event-ID"));
    streams++;
    if (streams === 2) {
      const end = 'event: end\ndata: {"reason":"token_expired"}\n\n';
      return new Response(`id: after-refresh\n\n${end}`);
    }
    const response = await nodeFetch(url, options);
    open++;
    options.signal.addEventListener("abort", () => open--);
    return response;
  });
  const tabs = [];
  for (const number of [1, 2, 3]) {
    const { show } = await load("changes", number);
    const stop = new AbortController();
    const shown = { documents: [] };
    show((documents) => (shown.documents = documents), stop.signal).catch((error) => {
      shown.error = error;
    });
    tabs.push({ stop, shown });
    await until("the first tab to read", () => open === 1);
  }
  const { uploadAll } = await load("uploads");
  const upload = async (name) => {
    let id;
    await uploadAll([file(name)], (_, { document }) => (id = document.id));
    return id;
  };
  const shows = (tab, id, status) =>
    until(`${id} to be ${status}`, () => {
      if (tab.shown.error) throw tab.shown.error;
      return tab.shown.documents.find((d) => d.id === id)?.status === status;
    });

  const first = await upload("first.txt");
  for (const tab of tabs) await shows(tab, first, "classified");
  assert.deepEqual([streams, open], [1, 1], "streams begun, streams open");

  // The tab that reads is closed. The next one gets the simulated end, refreshes and goes on.
  tabs.shift().stop.abort();
  await until("the next stream", () => streams === 3 && open === 1);
  const second = await upload("second.txt");
  for (const tab of tabs) await shows(tab, second, "classified");
  assert.deepEqual([streams, open, tokens], [3, 1, 1]);
  assert.equal(ids[2], "after-refresh");

  await call("DELETE", `/api/documents/${first}`);
  for (const tab of tabs) await shows(tab, first, undefined);
  for (const { stop } of tabs) stop.abort();
  assert.equal(open, 0);
});
