// What the tests of the page share: a running stack, a browser, users, and a proxy in front of the
// gateway. Elements are found by their roles and accessible names, as a screen reader finds them.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request as beginRequest } from "node:http";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import axeCore from "axe-core";
import { chromium } from "playwright-core";

import { freePort, until, up } from "../../docs/examples/stack.mjs";

export { until };

// The running stack, from before the first test until after the last one.
export const running = {};

let launched;

// Chromium, which is launched for the first test that needs it.
const browser = () =>
  (launched ??= chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", // Chromium's sandbox refuses to run as root
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  }));

before(async () => {
  running.stack = await up();
});

after(async () => {
  await (await launched)?.close();
  await running.stack?.stop();
});

// Adds a test, which fails after so many seconds if it still waits for something.
export const scenario = (name, run, seconds = 120) =>
  test(name, { timeout: seconds * 1000 }, run);

// Runs an HTTP server until the end of the test t, and returns its address.
export async function serve(t, listener) {
  const server = createServer(listener);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

let users = 0;

// Adds a user with a quota in bytes (null: the default), and returns it with a client of the API.
export async function addUser({ quota = 100 << 20, role = "user" } = {}) {
  const email = `person${++users}@example.com`;
  const { stdout } = await promisify(execFile)(process.env.INTRAY, [
    ...["users", "add", email, "--generate", "--data", running.stack.data],
    ...["--role", role, ...(quota === null ? [] : ["--quota", `${quota}`])],
  ]);
  const password = stdout.match(/\S+(?=\s*$)/)[0];
  return new User(email, password);
}

// A user of the API, without a browser.
export class User {
  #token;

  constructor(email, password) {
    Object.assign(this, { email, password });
  }

  // Returns the body of the response, which must be successful.
  async call(method, path, body) {
    if (!this.#token) {
      const credentials = { email: this.email, password: this.password };
      const login = await send("POST", "/api/auth/login", credentials);
      this.#token = login.access_token;
    }
    return send(method, path, body, { Authorization: `Bearer ${this.#token}` });
  }

  // All documents of the user.
  async documents() {
    const all = [];
    for (let cursor = ""; cursor !== null; ) {
      const next = cursor && `&cursor=${cursor}`;
      const page = await this.call("GET", `/api/documents?limit=100${next}`);
      all.push(...page.items);
      cursor = page.next_cursor;
    }
    return all;
  }

  // Uploads a file and returns its document when consumers have handled it.
  async upload({ name, type, content }) {
    const request = { filename: name, content_type: type, size: content.length };
    const { document, upload } = await this.call("POST", "/api/documents/upload-url", request);
    const { method, url, headers } = upload;
    const response = await fetch(url, { method, headers, body: content });
    assert.equal(response.status, 200, await response.text());
    return until(`${name} to be handled`, async () => {
      const got = await this.call("GET", `/api/documents/${document.id}`);
      return !["pending", "uploaded"].includes(got.status) && got;
    });
  }
}

async function send(method, path, body, headers = {}) {
  const response = await fetch(running.stack.api + path, {
    method,
    headers: { ...headers, ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

// The name of the nth file of fill.
export const filledName = (n) => `page-${String(n).padStart(4, "0")}.txt`;

// Uploads as many files with one byte each, the first of which is the oldest.
export async function fill(user, count) {
  const upload = async (from) => {
    const requested = Array.from({ length: 100 }, (_, n) => ({
      filename: filledName(from + n),
      content_type: "text/plain",
      size: 1,
    }));
    const { items } = await user.call("POST", "/api/documents/upload-urls", { items: requested });
    const queue = items.map(({ upload }) => upload);
    const send = async () => {
      for (let next = queue.pop(); next; next = queue.pop()) {
        const { method, url, headers } = next;
        const response = await fetch(url, { method, headers, body: "x" });
        assert.equal(response.status, 200, await response.text());
      }
    };
    await Promise.all(Array.from({ length: 12 }, send));
  };
  for (let n = 0; n < count; n += 100) await upload(n);
  await until("all files to be sorted", async () => {
    const { by_status: status } = await user.call("GET", "/api/documents/counts");
    return (status.failed ?? 0) + (status.classified ?? 0) === count;
  });
}

// Begins a request of a proxy to a server, on a connection of its own: a server may close one that
// is kept open just when the next request is sent on it, and nobody repeats the request then.
export const forwardTo = (url, { method, headers }) =>
  beginRequest(url, { method, headers: { ...headers, connection: "close" }, agent: false });

// Opens an address in a browser profile of its own, which is closed at the end of the test t. The
// page has the additional members requests (all requests besides preflights), errors (what the
// browser wrote to its console as an error) and dialogs (each accepted at once).
export async function openPage(t, { url = running.stack.web, ...options } = {}) {
  const context = await (await browser()).newContext({ locale: "en-GB", ...options });
  t.after(async () => {
    // A route may still be fetching something, such as the icon.
    for (const routed of [context, ...context.pages()]) {
      await routed.unrouteAll({ behavior: "ignoreErrors" });
    }
    await context.close();
  });
  context.setDefaultTimeout(60_000); // however busy the machine is
  const page = await context.newPage();
  page.requests = [];
  page.errors = [];
  page.dialogs = [];
  page.on("request", (request) => page.requests.push(request));
  page.on("console", (message) => {
    if (message.type() === "error") page.errors.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => page.errors.push(`${error.stack}`));
  page.on("dialog", async (dialog) => {
    page.dialogs.push([dialog.type(), dialog.message()].filter(Boolean).join(": "));
    await dialog.accept();
  });
  await page.goto(url);
  return page;
}

// Fails if the console of the page has errors, besides those that match one of expected.
export function expectNoConsoleErrors(page, ...expected) {
  const unexpected = page.errors.filter((text) => !expected.some((pattern) => pattern.test(text)));
  assert.deepEqual(unexpected, []);
}

// The number of requests since begin, an earlier length of page.requests, by method and path or
// origin.
export function countRequests(page, begin = 0) {
  const counts = {};
  const own = new URL(page.url()).origin;
  for (const request of page.requests.slice(begin)) {
    const { origin, pathname } = new URL(request.url());
    const key = `${request.method()} ${origin === own ? pathname : origin}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

const wcag = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// Checks the rules of WCAG 2.2 AA and axe's best practices, or other rules.
export async function axe(page, rules = wcag) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeCore.source);
  const violations = await page.evaluate(async (runOnly) => {
    const result = await axe.run(document, { runOnly, resultTypes: ["violations"] });
    return result.violations.map(({ id, help, nodes }) => ({
      id,
      help,
      elements: nodes.map(({ html, failureSummary }) => `${html}: ${failureSummary}`),
    }));
  }, rules);
  assert.deepEqual(violations, []);
}

// Signs in with the form.
export async function signIn(page, { email, password }) {
  await page.getByRole("textbox", { name: /e-?mail/i }).fill(email);
  await page.getByLabel(/password/i).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: /choose files/i }).first().waitFor();
}

// Drops files on the page. A file has a name, a type, and either its content or a size; the bytes
// of a size are made in the page, because they may be too many to send there.
export async function dropFiles(page, files) {
  const described = files.map(({ content, ...file }) => ({
    ...file,
    base64: content && Buffer.from(content).toString("base64"),
  }));
  await page.evaluate(async (list) => {
    const transfer = new DataTransfer();
    for (const { name, type, base64, size, seed = 0 } of list) {
      transfer.items.add(new File([...parts(base64, size, seed)], name, { type }));
    }
    for (const event of ["dragenter", "dragover", "drop"]) {
      const { clientWidth: width, clientHeight: height } = document.documentElement;
      const at = { clientX: width / 2, clientY: height / 2 };
      const target = document.elementFromPoint(at.clientX, at.clientY) ?? document.body;
      target.dispatchEvent(
        new DragEvent(event, { dataTransfer: transfer, bubbles: true, cancelable: true, ...at }),
      );
    }

    function* parts(base64, size, seed) {
      if (base64 !== undefined) return yield Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const block = new Uint32Array(1 << 18); // 1 MiB, filled by xorshift32
      let state = seed + 1;
      for (let left = size; left > 0; left -= block.byteLength) {
        for (let i = 0; i < block.length; i++) {
          state ^= state << 13;
          state ^= state >>> 17;
          block[i] = state ^= state << 5;
        }
        yield new Blob([block]).slice(0, Math.min(left, block.byteLength));
      }
    }
  }, described);
}

// Starts another API of the stack with other settings until the end of the test t, and returns its
// address.
export async function startAPI(t, settings) {
  const variables = readFileSync(`/proc/${running.stack.pids.api}/environ`, "utf8").split("\0");
  const environment = Object.fromEntries(variables.filter(Boolean).map((v) => v.split(/=(.*)/s)));
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn(process.env.INTRAY, ["api"], {
    env: {
      ...environment,
      LISTEN: listen,
      METRICS_LISTEN: `127.0.0.1:${await freePort()}`,
      ...settings,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  t.after(() => child.kill("SIGTERM"));
  const url = `http://${listen}`;
  await until("the API", () => fetch(`${url}/readyz`).then((r) => r.ok, () => false));
  return url;
}
