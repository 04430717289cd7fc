// What the tests of uploads share: a page on a running stack, and a proxy between the browser and
// storage.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHTTP, request as httpRequest } from "node:http";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { createServer } from "vite";

const data = process.env.INTRAY_DATA;
export const stack = () => JSON.parse(readFileSync(`${data}/stack.json`));
const port = Number(process.env.PORT ?? 29550);

// An HTTP proxy. `answer(request, status)` may return "drop" to lose the response of storage.
export async function startProxy() {
  const proxy = { answer: () => "pass", delay: 0, count: {} };
  const server = createHTTP((request, response) => {
    const url = new URL(request.url);
    const upstream = httpRequest(url, { method: request.method, headers: request.headers });
    upstream.on("error", () => response.destroy());
    upstream.on("response", (got) => {
      const key = `${request.method} ${got.statusCode} ${url.origin}`;
      proxy.count[key] = (proxy.count[key] ?? 0) + 1;
      const pass = () => {
        if (proxy.answer(request, got.statusCode) === "drop") {
          // A browser repeats a request by itself if nothing of the response arrives.
          response.writeHead(got.statusCode, { "Content-Length": 9 });
          return response.write("lost", () => response.destroy());
        }
        response.writeHead(got.statusCode, got.headers);
        got.pipe(response);
      };
      if (proxy.delay && request.method === "PUT") setTimeout(pass, proxy.delay);
      else pass();
    });
    request.on("error", () => upstream.destroy());
    response.on("close", () => response.writableFinished || upstream.destroy());
    request.pipe(upstream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return proxy;
}

export async function startPage() {
  const root = new URL("../..", import.meta.url).pathname;
  const server = await createServer({
    root,
    logLevel: "error",
    server: { port, strictPort: true, host: "127.0.0.1", hmr: false, watch: null,
      proxy: { "/api": stack().api } },
  });
  await server.listen();
  return { server, url: `http://127.0.0.1:${port}/test/uploads/page.html` };
}

export const launch = () =>
  chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });

let users = 0;
export async function addUser(quota = 2 ** 30) {
  const email = `u${Date.now()}${++users}@example.com`;
  const { stdout } = await promisify(execFile)(process.env.INTRAY, [
    "users", "add", email, "--generate", "--data", data, "--quota", `${quota}`,
  ]);
  return { email, password: stdout.match(/\S+(?=\s*$)/)[0] };
}

export async function open(context, url) {
  const page = await context.newPage();
  page.requests = [];
  page.errors = [];
  page.on("request", (r) => {
    const u = new URL(r.url());
    if (u.pathname.startsWith("/api/") || r.method() === "PUT") {
      page.requests.push(`${r.method()} ${r.method() === "PUT" ? u.origin : u.pathname}`);
    }
  });
  page.on("console", (m) => m.type() === "error" && !/vite|WebSocket|404/.test(m.text()) && page.errors.push(m.text()));
  page.on("pageerror", (error) => page.errors.push(`${error.stack}`));
  page.on("dialog", (dialog) => dialog.accept());
  await page.goto(url);
  await page.waitForFunction(() => document.title === "ready");
  return page;
}

export const signIn = (page, { email, password }) =>
  page.evaluate(([e, p]) => signIn(e, p), [email, password]);

export const counts = (list) =>
  list.reduce((all, r) => {
    const key = r.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "ID");
    all[key] = (all[key] ?? 0) + 1;
    return all;
  }, {});

export const idle = (page, timeout = 60_000) =>
  page.waitForFunction(() => totals.value.files && !totals.value.active, null, { timeout });

export const rows = (page) =>
  page.evaluate(() =>
    uploads.value.map((u) => ({
      name: u.name, state: u.state.value, sent: u.sent.value, size: u.size,
      code: u.failure.value?.code ?? null, problem: u.failure.value?.problem ?? null,
      document: u.documentId.value,
      status: (u.documentId.value && documentOf(u.documentId.value)?.value.status) ?? null,
    })),
  );

// Adds files made in the page: [{name, type, size, content}].
export const add = (page, files) =>
  page.evaluate((list) => {
    addFiles(list.map(({ name, type = "", size, content }) => {
      const body = content ?? new Uint8Array(size).map((_, i) => (i * 2654435761) >>> 13);
      return new File([body], name, { type, lastModified: 1_700_000_000_000 });
    }));
  }, files);
