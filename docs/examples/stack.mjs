// A running "intray up" with its own data folder, and what the examples expect of a browser.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Polls until condition returns something, for at most two minutes.
export async function until(what, condition, seconds = 120) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const got = await condition();
    if (got) return got;
    if (Date.now() > deadline) throw new Error(`waited too long for ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// Starts the program $INTRAY. Its output goes to standard error.
export async function up() {
  const folder = mkdtempSync(join(tmpdir(), "intray-"));
  chmodSync(folder, 0o755); // as root, the servers run as another user
  const data = join(folder, "data");
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn(process.env.INTRAY, ["up", "--data", data, "--listen", listen], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const watcher = endWithThisProcess(child.pid);
  const started = () => {
    if (child.exitCode !== null) throw new Error(`intray up ended with ${child.exitCode}`);
    return existsSync(join(data, "stack.json"));
  };
  await until("stack.json", started, 900); // the first start on a machine builds MinIO
  const read = () => JSON.parse(readFileSync(join(data, "stack.json"), "utf8"));
  const stack = read();
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    watcher.stdin.end("stopped\n");
    rmSync(folder, { recursive: true, force: true });
  };
  const account = (name) => stack.accounts.find(({ email }) => email.startsWith(`${name}@`));
  // A server that was killed has another pid when it is running again.
  const pids = { get: () => read().pids, enumerable: true };
  return Object.defineProperty({ ...stack, folder, data, account, stop }, "pids", pids);
}

// Starts a shell that stops the process pid if this one ends, even if it is killed: the shell's
// input then ends without a line.
function endWithThisProcess(pid) {
  const watcher = spawn("sh", ["-c", 'read -r _ || kill "$0"', `${pid}`], {
    detached: true, // so that what ends the process group does not end the shell, too
    stdio: ["pipe", "ignore", "ignore"],
  });
  watcher.unref();
  watcher.stdin.unref();
  return watcher;
}

// Starts another API of the stack whose upload URLs are those of a proxy, and returns its address
// and process. "up" itself chooses GATEWAY_URL.
export async function apiBehind(stack, gatewayURL) {
  const variables = readFileSync(`/proc/${stack.pids.api}/environ`, "utf8").split("\0");
  const environment = Object.fromEntries(variables.filter(Boolean).map((v) => v.split(/=(.*)/s)));
  const url = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(process.env.INTRAY, ["api"], {
    env: {
      ...environment,
      LISTEN: url.slice("http://".length),
      METRICS_LISTEN: `127.0.0.1:${await freePort()}`,
      GATEWAY_URL: gatewayURL,
      TRUSTED_PROXIES: "127.0.0.1",
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  await ready(`${url}/readyz`, child);
  return { url, child };
}

// Starts nginx with one server.
export async function startNginx(folder, server, url) {
  const file = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    file,
    `daemon off; pid ${folder}/nginx.pid; error_log stderr warn;
    ${process.getuid() === 0 ? "user root;" : ""}
    events {}
    http {
      access_log ${folder}/access.log;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n")}
      ${server}
    }`,
  );
  const path = `${process.env.PATH}:/usr/sbin`;
  const child = spawn("nginx", ["-e", "stderr", "-p", folder, "-c", file], {
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "ignore", "inherit"],
  });
  await ready(url, child);
  return child;
}

function ready(url, child) {
  return until(url, async () => {
    if (child.exitCode !== null) throw new Error(`${url}: the server ended: ${child.exitCode}`);
    return (await fetch(url).catch(() => null))?.ok;
  });
}

// Makes fetch that of a page of the origin: relative URLs, the cookie, Sec-Fetch-Site and
// Content-Type of the browser. Before each request it calls intercept, which may answer it.
export function openPage(origin, intercept = () => {}) {
  let cookie;
  const fetchAnything = (globalThis.nodeFetch ??= globalThis.fetch);
  globalThis.fetch = async (url, options = {}) => {
    url = new URL(url, origin);
    const headers = new Headers(options.headers);
    if (url.origin === new URL(origin).origin) headers.set("Sec-Fetch-Site", "same-origin");
    if (cookie && url.pathname.startsWith("/api/auth/")) headers.set("Cookie", cookie);
    const answered = await intercept(url, { ...options, headers });
    if (answered) return answered;
    const response = await fetchAnything(url, { ...options, headers });
    const [set] = response.headers.getSetCookie();
    if (set) cookie = set.split(";")[0];
    return response;
  };
}

// The Web Locks of the page's origin: those who request one get it in turn.
export function provideLocks() {
  const queues = new Map();
  const request = async (name, { signal }, callback) => {
    const before = queues.get(name);
    let release;
    queues.set(name, new Promise((resolve) => (release = resolve)));
    try {
      await before;
      signal.throwIfAborted();
      return await callback();
    } finally {
      release();
    }
  };
  Object.defineProperty(globalThis, "navigator", { value: { locks: { request } }, writable: true });
}
