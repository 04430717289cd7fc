// What people do with the page, in Firefox. A proxy between the browser and the servers loses,
// delays and counts what a test wants.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach } from "node:test";

import puppeteer from "puppeteer-core";

import { mixedFiles, texts, unsorted } from "./files.mjs";
import { addUser, dropFiles, forwardTo, running, scenario, until } from "./harness.mjs";

const MiB = 1 << 20;

// What the proxy has seen, and what it does to requests.
const network = {};

beforeEach(() => {
  Object.assign(network, {
    requests: {}, // their numbers besides preflights, by method and path
    begun: 0, // PUT requests
    most: Infinity, // how many of these are forwarded, the others wait
    uploads: [], // the status of each PUT
    lose: 0, // how many of the next responses to a PUT are lost
    delay: 0, // of the responses to a PUT, in milliseconds
    down: false, // whether no request is answered
    config: {}, // members that replace those of the API's configuration
  });
});

let proxy;
let browser;

before(async () => {
  proxy = createServer(forward);
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    extraPrefsFirefox: {
      "intl.accept_languages": "en-GB",
      "network.proxy.type": 1,
      "network.proxy.http": "127.0.0.1",
      "network.proxy.http_port": proxy.address().port,
      "network.proxy.no_proxies_on": "",
      "network.proxy.allow_hijacking_localhost": true,
    },
  });
});

after(async () => {
  await browser?.close();
  proxy?.closeAllConnections();
  proxy?.close();
});

// Sends a request of the browser to its server, as far as a test wants that.
function forward(request, response) {
  if (network.down) return response.destroy();
  const { method, headers, url } = request;
  const { pathname } = new URL(url);
  const key = method === "PUT" ? method : `${method} ${pathname}`;
  if (method !== "OPTIONS") network.requests[key] = (network.requests[key] ?? 0) + 1;
  if (pathname === "/api/config") {
    return forwardConfig(url, response).catch(() => response.destroy());
  }
  if (method === "PUT" && ++network.begun > network.most) return undefined;
  const upstream = forwardTo(url, { method, headers });
  upstream.on("error", () => response.destroy());
  response.on("close", () => upstream.destroy());
  upstream.on("response", (got) => {
    const pass = () => got.pipe(response.writeHead(got.statusCode, got.headers));
    if (method !== "PUT") return pass();
    network.uploads.push(got.statusCode);
    if (network.lose-- <= 0) return setTimeout(pass, network.delay);
    // A browser sends the request again by itself unless a response has begun.
    response.writeHead(got.statusCode, { "Content-Length": 1 }).flushHeaders();
    return setImmediate(() => response.destroy());
  });
  return request.pipe(upstream);
}

// Passes the configuration on with the members that a test has replaced.
async function forwardConfig(url, response) {
  const config = await (await fetch(url)).json();
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ ...config, ...network.config }));
}

// Opens the page in a browser profile of its own and signs in there.
async function open(t, user) {
  const context = await browser.createBrowserContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.errors = [];
  // A response that was lost has no header that allows the page to read it.
  page.on("pageerror", (error) => {
    if (!/Cross-Origin Request Blocked/.test(error.message)) page.errors.push(`${error.stack}`);
  });
  page.on("dialog", (dialog) => dialog.accept());
  await page.setViewport({ width: 1280, height: 1400 });
  await page.goto(running.stack.web);
  await fill(page, "email", user.email);
  await fill(page, "password", user.password);
  await page.keyboard.press("Enter");
  await shown(page, "Choose files");
  return page;
}

async function fill(page, name, text) {
  const field = await until(name, () => page.$(`input[name=${name}]`));
  await field.type(text);
}

// Waits until the page, or the row of a file, shows a text.
const shown = (page, text) =>
  until(text, () => page.evaluate((text) => document.body.innerText.includes(text), text));

const rowShows = (page, name, text) =>
  until(`${name}: ${text}`, async () => {
    return (await rows(page)).some((row) => row.includes(name) && row.includes(text));
  });

const rows = (page) =>
  page.evaluate(() => [...document.querySelectorAll("[role=row]")].map((row) => row.textContent));

const press = async (page, label) =>
  (await until(label, () => page.$(`button[aria-label="${label}"]`))).click();

async function withTopics() {
  const user = await addUser();
  const topics = { Invoices: ["invoice", "payment"], Minutes: ["meeting", "agenda"] };
  for (const [name, keywords] of Object.entries(topics)) {
    await user.call("POST", "/api/topics", { name, description: "", keywords });
  }
  return user;
}

const handled = (user, count) =>
  until(`${count} documents to be handled`, async () => {
    // The API may be down.
    const counts = await user.call("GET", "/api/documents/counts").catch(() => null);
    const { classified = 0, failed = 0 } = counts?.by_status ?? {};
    return classified + failed === count;
  });

scenario("12 mixed files: every row shows what became of the file", async (t) => {
  const user = await withTopics();
  const page = await open(t, user);
  await dropFiles(page, mixedFiles());
  await handled(user, 12);
  for (const { filename, topics, reason } of await user.documents()) {
    const outcome = reason ? unsorted[reason] : (topics[0]?.name ?? "No topic fits");
    await rowShows(page, filename, outcome);
  }
  assert.deepEqual(page.errors, []);
});

scenario("200 files: two requests for their URLs, and right counts", async (t) => {
  const user = await withTopics();
  const page = await open(t, user);
  network.requests = {};
  await dropFiles(page, texts(200));
  await handled(user, 200);
  await shown(page, "200 of 200 sorted");
  const all = await user.documents();
  assert.equal(new Set(all.map(({ filename }) => filename)).size, 200);
  // How often these two are read, every two seconds, depends on the machine.
  const { "GET /api/me": _, "GET /api/documents/counts": __, ...others } = network.requests;
  const total = Object.values(others).reduce((sum, n) => sum + n, 0);
  assert.ok(total <= 210, JSON.stringify(others));
  assert.deepEqual(page.errors, []);
});

scenario("a large file goes on after a pause and a reload with the missing parts", async (t) => {
  network.config = { multipart_from_bytes: 20 * MiB };
  network.most = 3;
  const folder = mkdtempSync(join(tmpdir(), "intray-files-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "scans.pdf");
  const content = randomBytes(60 * MiB);
  writeFileSync(file, content);
  const user = await addUser();
  const page = await open(t, user);
  const choose = async (place) => (await page.$(`${place} input[type=file]`)).uploadFile(file);
  await choose(".view-head");
  await until("three parts", () => network.uploads.length === 3);
  await press(page, "Pause scans.pdf");
  await rowShows(page, "scans.pdf", "Paused");
  const [{ id }] = await user.documents();
  await page.reload();
  await rowShows(page, "scans.pdf", "Interrupted");
  const { parts } = await user.call("GET", `/api/documents/${id}/multipart-upload`);
  assert.equal(parts.length, 3);
  network.most = Infinity;
  await choose("[role=row]");
  await handled(user, 1);
  await rowShows(page, "scans.pdf", unsorted.unsupported);
  assert.equal(network.uploads.length, 8, "parts that were sent");
  const { url } = await user.call("GET", `/api/documents/${id}/download-url`);
  const stored = Buffer.from(await (await fetch(url)).arrayBuffer());
  const digest = (data) => createHash("sha256").update(data).digest("hex");
  assert.equal(digest(stored), digest(content));
  assert.deepEqual(page.errors, []);
});

scenario("files arrive once, whatever goes down meanwhile", async (t) => {
  const user = await withTopics();
  const page = await open(t, user);
  network.delay = 50;
  await dropFiles(page, texts(150));
  const sent = (count) => until(`${count} uploads`, () => network.uploads.length >= count);
  await sent(30);
  network.down = true;
  proxy.closeAllConnections();
  await shown(page, "Reconnecting");
  network.down = false;
  await sent(60);
  for (const name of ["api", "gateway"]) process.kill(running.stack.pids[name], "SIGKILL");
  await handled(user, 150);
  await shown(page, "150 of 150 sorted");
  assert.equal((await user.documents()).length, 150);
  for (const row of await rows(page)) assert.match(row, /Invoices/);
  assert.deepEqual(page.errors, []);
});

scenario("a lost response to an upload: the row ends sorted, and nothing is doubled", async (t) => {
  const user = await withTopics();
  const page = await open(t, user);
  network.lose = 2;
  await dropFiles(page, texts(3));
  await handled(user, 3);
  for (const { name } of texts(3)) await rowShows(page, name, "Invoices");
  assert.equal((await user.documents()).length, 3);
  assert.ok(network.uploads.length >= 3, "the responses were lost");
  assert.deepEqual(page.errors, []);
});
