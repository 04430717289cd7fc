// Sending files on the page: what people see and do while the connection, the servers, the browser
// or the user interrupt it. SENDING_BYTES is the size of the file that is sent in parts, 120 MB by
// default; for 300 MB: SENDING_BYTES=300e6.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { noTopic, texts, unsorted } from "./files.mjs";
import {
  addUser,
  axe,
  dropFiles,
  expectNoConsoleErrors,
  openPage,
  running,
  scenario,
  signIn,
  until,
} from "./harness.mjs";
import { behindProxy, storage } from "./uploads/setup.mjs";

const MiB = 1 << 20;

const large = Number(process.env.SENDING_BYTES ?? 120e6);

const text = (name, content = `zebra ${name}`) => ({
  name,
  type: "text/plain",
  content: Buffer.from(content),
});
const grid = (page) => page.getByRole("grid", { name: "Files" });
const rowOf = (page, name) => grid(page).getByRole("row").filter({ hasText: name });
const goTo = (page, view) =>
  page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: view }).click();

function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), "intray-files-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

// Writes a file of random bytes, and returns the SHA-256 digest of its content.
async function writeRandom(path, size) {
  const file = createWriteStream(path);
  const digest = createHash("sha256");
  for (let left = size; left > 0; left -= 1 << 20) {
    const block = randomBytes(Math.min(left, 1 << 20));
    digest.update(block);
    if (!file.write(block)) await new Promise((resolve) => file.once("drain", resolve));
  }
  await new Promise((resolve) => file.end(resolve));
  return digest.digest("hex");
}

async function digestOf(url) {
  const digest = createHash("sha256");
  for await (const block of (await fetch(url)).body) digest.update(block);
  return digest.digest("hex");
}

// Chooses files in the browser's dialog that a button opens.
async function choose(page, button, ...paths) {
  const [chooser] = await Promise.all([
    page.waitForEvent("filechooser"),
    page.getByRole("button", { name: button }).first().click(),
  ]);
  await chooser.setFiles(paths);
}

const name = "a large file in parts: paused, reloaded, chosen again, and only the rest is sent";
scenario(name, pauseAndReload, 300);

async function pauseAndReload(t) {
  const user = await addUser({ quota: 4 * large });
  const folder = temporaryFolder(t);
  const [scans, other] = [join(folder, "scans.pdf"), join(folder, "other.pdf")];
  const digest = await writeRandom(scans, large);
  writeFileSync(other, "other");
  const page = await openPage(t, behindProxy());
  await signIn(page, user);
  const { part_bytes: partBytes } = await user.call("GET", "/api/config");
  const parts = Math.ceil(large / partBytes);
  const half = Math.floor(parts / 2);
  const begin = performance.now();

  storage.hold = () => storage.begun > half;
  await choose(page, "Choose files", scans);
  await until("half of the parts", () => storage.begun === half + 3 && storage.inFlight === 3);
  const row = rowOf(page, "scans.pdf");
  await row.getByText("Sending").waitFor();
  await row.getByRole("button", { name: "Pause scans.pdf" }).click();
  await row.getByText("Paused").waitFor();
  await until("all requests to end", () => storage.inFlight === 0);
  await axe(page);
  const [{ id }] = await user.documents();
  const stored = await user.call("GET", `/api/documents/${id}/multipart-upload`);
  assert.equal(stored.parts.length, half);

  await page.reload();
  await row.getByText("Interrupted. Choose the file again to go on.").waitFor();
  await axe(page);
  await goTo(page, "Needs you");
  await page.getByRole("heading", { name: "Interrupted uploads" }).waitFor();
  await axe(page);
  await choose(page, "Choose file scans.pdf again", other);
  await page.getByText("This is another file. Choose scans.pdf again.").first().waitFor();
  const before = storage.begun;
  assert.equal(before, half + 3);
  storage.hold = () => false;
  await choose(page, "Choose file scans.pdf again", scans);
  await page.getByRole("heading", { name: "Interrupted uploads" }).waitFor({ state: "detached" });
  await goTo(page, "Intray");
  await row.getByText(unsorted.unsupported).waitFor();
  const seconds = (performance.now() - begin) / 1000;
  t.diagnostic(
    `${large} bytes: ${half} of ${parts} parts, then ${storage.begun - before} PUTs; ` +
      `${seconds.toFixed(1)} s`,
  );
  assert.equal(storage.begun - before, parts - half);
  assert.equal((await user.documents()).length, 1);
  const { url } = await user.call("GET", `/api/documents/${id}/download-url`);
  assert.equal(await digestOf(url), digest);
  assert.deepEqual(page.dialogs, []);
  expectNoConsoleErrors(page);
}

// Collects what the rows and the messages of the page say, with # for each number.
function watch() {
  const selectors = { outcomes: ".outcome", messages: "[aria-label=Messages] > *, [role=alert]" };
  const seen = { outcomes: new Set(), messages: new Set() };
  new MutationObserver((changes) => {
    const changed = new Set(changes.map(({ target }) => target.parentElement ?? target));
    for (const [kind, selector] of Object.entries(selectors)) {
      for (const element of changed) {
        const around = element.closest(selector);
        for (const { textContent } of around ? [around] : element.querySelectorAll(selector)) {
          seen[kind].add(textContent.replace(/\d+/g, "#"));
        }
      }
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  window.seen = (kind) => [...seen[kind]];
}

// What they may say while files arrive, whatever happens on the way.
const waiting = "Waiting|Waiting for the connection…|Sending · #%|Sent";
const harmless = {
  outcomes: new RegExp(`^(|${waiting}|Sorting…|Sorting takes .*|(Invoices( .for everybody.)?#%)+)$`),
  messages: /^(|Sending # files · #%|# of # sorted|You are offline.*|Reconnecting…|Live .*)$/,
};

const outage = "offline for 10 s, then API and gateway killed: all files arrive once";
scenario(outage, async (t) => {
  const count = 100;
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Invoices", keywords: ["invoice", "payment"] });
  // Every row is in the window, so that none shows a failure unseen.
  const tall = { viewport: { width: 1280, height: 8000 } };
  const page = await openPage(t, { ...tall, ...behindProxy() });
  await signIn(page, user);
  await page.evaluate(watch);
  storage.delay = 300;
  await dropFiles(page, texts(count));
  await until("some files", () => storage.begun >= 15);
  await page.context().setOffline(true);
  await page.getByText("You are offline").waitFor();
  await page.waitForTimeout(10_000);
  const sentBefore = storage.begun;
  assert.ok(sentBefore < count - 50, `${sentBefore} files were sent before the outage`);
  await page.context().setOffline(false);
  await until("more files", () => storage.begun >= sentBefore + 15);
  for (const server of ["api", "gateway"]) process.kill(running.stack.pids[server], "SIGKILL");
  await page.getByRole("status").getByText(`${count} of ${count} sorted`).waitFor({
    timeout: 120_000,
  });
  await until("every row to be sorted", async () => {
    const outcomes = await grid(page).locator(".outcome").allTextContents();
    return outcomes.length === count && outcomes.every((outcome) => outcome.startsWith("Invoices"));
  });
  for (const [kind, pattern] of Object.entries(harmless)) {
    const seen = await page.evaluate((which) => window.seen(which), kind);
    t.diagnostic(`${kind}: ${seen.join(" | ")}`);
    assert.deepEqual(seen.filter((found) => !pattern.test(found)), []);
  }
  const documents = await user.documents();
  assert.equal(documents.length, count);
  assert.equal(new Set(documents.map(({ filename }) => filename)).size, count);
  assert.ok(documents.every(({ status }) => status === "classified"));
}, 240);

scenario("a part that breaks off too often: the row says what to do", async (t) => {
  const user = await addUser();
  const page = await openPage(t, { url: "about:blank", ...behindProxy() });
  const config = await user.call("GET", "/api/config");
  const json = { ...config, multipart_from_bytes: 20 * MiB };
  await page.route("**/api/config", (route) => route.fulfill({ json }));
  await page.goto(running.stack.web);
  await signIn(page, user);
  storage.cut = ({ url }) => /partNumber=2&/.test(url);
  await dropFiles(page, [{ name: "scans.pdf", type: "application/pdf", size: 24 * MiB }]);
  const row = rowOf(page, "scans.pdf");
  await row.getByText("Waiting for the connection…").waitFor();
  await row.getByText("The connection broke off too often").waitFor();
  await until("the document to go", async () => (await user.documents()).length === 0);
  await axe(page);
  await row.getByRole("button", { name: "Dismiss scans.pdf" }).click();
  await row.waitFor({ state: "detached" });
  storage.cut = () => false;
  await dropFiles(page, [{ name: "scans.pdf", type: "application/pdf", size: 24 * MiB }]);
  await row.getByText(unsorted.unsupported).waitFor();
});

scenario("twice 60 % of what is left: the second file is refused before it is sent", async (t) => {
  const user = await addUser({ quota: 10 * MiB });
  await user.upload(text("before.txt", "zebra ".repeat(MiB).slice(0, 2 * MiB)));
  const page = await openPage(t, behindProxy());
  await signIn(page, user);
  await rowOf(page, "before.txt").getByText("No topic fits").waitFor();
  const begin = page.requests.length;
  const changing = () => page.requests.slice(begin).filter((each) => each.method() !== "GET");

  await dropFiles(page, [
    { name: "film.mp4", type: "video/mp4", content: Buffer.from("film") },
    { name: "setup.exe", type: "application/x-msdownload", content: Buffer.from("MZ") },
  ]);
  for (const name of ["film.mp4", "setup.exe"]) {
    await rowOf(page, name).getByText("Files of this kind are not accepted.").waitFor();
  }

  const zebras = (name) => ({ name, type: "text/plain", size: 4.8 * MiB });
  const refused = (name) => rowOf(page, name).getByText("No room: 3.2 MB are left.");
  let respond;
  const responded = new Promise((resolve) => (respond = resolve));
  await page.route(`${running.stack.gateway}/**`, async (route) => {
    await responded;
    await route.continue();
  });
  await dropFiles(page, [zebras("first.txt"), zebras("second.txt")]);
  await refused("second.txt").waitFor();
  await dropFiles(page, [zebras("third.txt")]); // while the first one is being sent
  await refused("third.txt").waitFor();
  await axe(page);
  respond();
  await rowOf(page, "first.txt").getByText(noTopic).waitFor();
  await dropFiles(page, [zebras("fourth.txt")]); // when it has been charged
  await refused("fourth.txt").waitFor();

  const asked = changing().filter((request) => request.url().endsWith("/upload-urls"));
  const items = asked.flatMap((request) => request.postDataJSON().items);
  assert.deepEqual(items.map(({ filename }) => filename), ["first.txt"]);
  assert.equal(storage.begun, 1);
  assert.deepEqual(changing().map((request) => request.method()).sort(), ["POST", "PUT"]);
  await rowOf(page, "fourth.txt").getByRole("link", { name: "Make room" }).click();
  await page.waitForURL("**/?sort=size");
  await grid(page).getByRole("row").first().filter({ hasText: "first.txt" }).waitFor();
  expectNoConsoleErrors(page);
});

scenario("no room, in German", async (t) => {
  const user = await addUser({ quota: 1.5 * MiB });
  const page = await openPage(t, { locale: "de-DE" });
  await page.getByRole("textbox", { name: "E-Mail" }).fill(user.email);
  await page.getByLabel("Passwort").fill(user.password);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Dateien auswählen" }).first().waitFor();
  await dropFiles(page, [{ name: "a.txt", type: "text/plain", size: 1.6 * MiB }]);
  await page.getByText("Kein Platz: Nur 1,5 MB sind frei.").waitFor();
  await page.getByRole("link", { name: "Platz schaffen" }).waitFor();
  assert.equal((await user.documents()).length, 0);
});

const signOut = (page) => page.getByRole("main").getByRole("button", { name: "Sign out" });

scenario("signing out while files are being sent asks, and they go on afterwards", async (t) => {
  const user = await addUser();
  const folder = temporaryFolder(t);
  const paths = ["one.txt", "two.txt", "three.txt"].map((name) => {
    writeFileSync(join(folder, name), `zebra ${name}`);
    return join(folder, name);
  });
  const page = await openPage(t, behindProxy());
  await signIn(page, user);
  const other = await page.context().newPage();
  await other.goto(running.stack.web);
  storage.hold = () => true;
  await choose(page, "Choose files", ...paths);
  await until("all files", () => storage.inFlight === 3);
  const dialog = (tab) => tab.getByRole("dialog", { name: "Sign out" });
  const question = "3 files have not been sent yet.";
  for (const tab of [other, page]) {
    await goTo(tab, "Account");
    await signOut(tab).click();
    await dialog(tab).getByText(question).waitFor();
    await axe(tab);
    await dialog(tab).getByRole("button", { name: "Stay" }).click();
    await dialog(tab).waitFor({ state: "detached" });
  }
  assert.equal(storage.inFlight, 3);
  await signOut(page).click();
  await dialog(page).getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await until("all requests to end", () => storage.inFlight === 0);
  assert.equal(storage.begun, 3);

  storage.hold = () => false;
  await page.goto(running.stack.web);
  await signIn(page, user);
  for (const path of paths.slice(0, 2)) {
    const name = path.slice(folder.length + 1);
    await rowOf(page, name).getByText("Interrupted. Choose the file again").waitFor();
    await choose(page, `Choose file ${name} again`, path);
    await rowOf(page, name).getByText("No topic fits").waitFor();
  }
  await rowOf(page, "three.txt").getByRole("button", { name: "Actions" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await rowOf(page, "three.txt").waitFor({ state: "detached" });
  await goTo(page, "Account");
  await signOut(page).click(); // nothing is being sent
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const left = await user.documents();
  assert.deepEqual(left.map(({ filename }) => filename).sort(), ["one.txt", "two.txt"]);
});

scenario("a document whose file nobody has says what to do", async (t) => {
  const user = await addUser();
  const request = { filename: "lost.txt", content_type: "text/plain", size: 5 };
  await user.call("POST", "/api/documents/upload-url", request);
  const page = await openPage(t);
  await signIn(page, user);
  const row = rowOf(page, "lost.txt");
  await row.getByText("Waiting for its file. Delete it if it is no longer being sent.").waitFor();
  await axe(page);
});

scenario("deleting a file that is being sent cancels its upload", async (t) => {
  const user = await addUser();
  const page = await openPage(t, behindProxy());
  await signIn(page, user);
  storage.hold = () => true;
  const names = ["key.txt", "menu.txt", "selected.txt", "kept.txt"];
  await dropFiles(page, names.map((name) => text(name)));
  await until("all files", () => storage.inFlight === names.length);
  const gone = (name) => rowOf(page, name).waitFor({ state: "detached" });

  await rowOf(page, "key.txt").focus();
  await page.keyboard.press("Delete");
  await gone("key.txt");
  await until("the request to end", () => storage.inFlight === 3);
  await rowOf(page, "menu.txt").getByRole("button", { name: "Actions" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await gone("menu.txt");
  await until("the request to end", () => storage.inFlight === 2);
  // This can be undone for a while, and ends without a trace.
  await page.getByRole("checkbox", { name: "Select selected.txt" }).check();
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  await gone("selected.txt");
  await page.getByRole("button", { name: "Close" }).click();
  await until("the request to end", () => storage.inFlight === 1);
  await until("the documents to go", async () => (await user.documents()).length === 1);
  assert.deepEqual(await grid(page).getByRole("row").count(), 1);
  await rowOf(page, "kept.txt").getByText("Sending").waitFor();
  expectNoConsoleErrors(page);
});

scenario("axe: the connection is lost, and live updates do not arrive", async (t) => {
  const user = await addUser();
  const page = await openPage(t, { reducedMotion: "reduce" });
  const streams = [];
  await page.route("**/api/documents/events", (route) => streams.push(route));
  await signIn(page, user);
  const next = () => until("a stream", () => streams.shift());
  await (await next()).abort();
  const second = await next();
  await page.getByRole("status").getByText("Reconnecting…").waitFor();
  await axe(page);
  await second.abort();
  await (await next()).abort();
  await page.getByRole("status").getByText("Live updates are interrupted.").waitFor();
  await axe(page);
});
