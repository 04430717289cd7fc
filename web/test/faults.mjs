// What the page does if something around it fails: the browser's settings, a server, the stream.
import assert from "node:assert/strict";

import {
  addUser,
  dropFiles,
  expectNoConsoleErrors,
  openPage,
  running,
  scenario,
  signIn,
  until,
} from "./harness.mjs";

const text = (name, content = `zebra ${name}`) => {
  return { name, type: "text/plain", content: Buffer.from(content) };
};
const rowOf = (page, name) => page.getByRole("row").filter({ hasText: name });
const sorted = (page, name) => rowOf(page, name).getByText("No topic fits").waitFor();
const form = (page) => page.getByRole("heading", { name: "Sign in" });

// Opens an empty page, for what has to be prepared before the page itself is loaded.
const openBlank = (t, options) => openPage(t, { url: "about:blank", ...options });

scenario("the page says that an address without https is not secure", async (t) => {
  const page = await openBlank(t);
  await page.route("http://intray.example/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    await route.fulfill({ response: await route.fetch({ url: running.stack.web + pathname }) });
  });
  await page.goto("http://intray.example/");
  await page.getByRole("main").getByText("This address is not secure").waitFor();
  expectNoConsoleErrors(page, /Cross-Origin-Opener-Policy/);
});

scenario("a browser that keeps nothing for sites", async (t) => {
  const user = await addUser();
  const page = await openBlank(t);
  await page.addInitScript(() => {
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("Access is denied for this document.", "SecurityError");
      },
    });
  });
  await page.goto(running.stack.web);
  await signIn(page, user);
  await dropFiles(page, [text("note.txt")]);
  await sorted(page, "note.txt");
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await form(page).waitFor();
  expectNoConsoleErrors(page);
});

scenario("the page is in English if the reader's language does not load", async (t) => {
  const page = await openBlank(t, { locale: "de-DE" });
  await page.route("**/assets/de-*.js", (route) => route.abort());
  await page.goto(running.stack.web);
  await form(page).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
});

scenario("a view whose code is gone comes with the page's next version", async (t) => {
  const page = await openPage(t);
  await signIn(page, await addUser());
  let gone = true; // as after an update of the server, until the page is loaded again
  await page.route("**/assets/account-*.js", (route) => (gone ? route.abort() : route.continue()));
  page.on("request", (request) => (gone &&= request.method() !== "HEAD"));
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByRole("main").getByText("The server does not answer").waitFor();
  const loaded = page.waitForEvent("load");
  await page.getByRole("button", { name: "Try again" }).click();
  await loaded;
  await page.getByRole("heading", { name: "Account", exact: true }).waitFor();
});

scenario("the page is not empty while the server does not answer", async (t) => {
  const page = await openBlank(t);
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await page.route("**/api/config", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(running.stack.web);
  await page.getByRole("main").getByText("Loading…").waitFor({ timeout: 5000 });
  answer();
  await form(page).waitFor();
  assert.equal(await page.getByText("Loading…").count(), 0);
});

scenario("a download that fails is reported, and an empty file is none", async (t) => {
  const user = await addUser();
  await user.upload(text("note.txt"));
  await user.upload(text("empty.txt", ""));
  const page = await openPage(t);
  await signIn(page, user);
  const download = async (name) => {
    await page.getByRole("button", { name: `Actions for ${name}` }).click();
    await page.getByRole("button", { name: "Download" }).click();
  };
  const { gateway } = running.stack;
  const messages = page.getByRole("region", { name: "Messages" });
  await page.route(`${gateway}/**`, (route) => route.abort());
  await download("note.txt");
  await messages.getByText("The server does not answer").waitFor();
  await page.unroute(`${gateway}/**`);
  await page.route(`${gateway}/**`, (route) => route.fulfill({ status: 503 }), { times: 1 });
  await download("note.txt");
  await messages.getByText("The server cannot do this at the moment").waitFor();
  for (const name of ["note.txt", "empty.txt"]) {
    const saved = page.waitForEvent("download");
    await download(name);
    assert.equal((await saved).suggestedFilename(), name);
  }
  assert.equal(page.url(), `${running.stack.web}/`);
});

const stream = "**/api/documents/events";
const polling = (page) => page.getByRole("status").getByText("Live updates are interrupted");

// Ends the pause before the next attempt.
const wake = (page) => page.evaluate(() => dispatchEvent(new Event("online")));

scenario("a stream that ends at once: attempts have pauses, and changes arrive", async (t) => {
  const user = await addUser();
  const page = await openBlank(t);
  let attempts = 0;
  await page.route(stream, async (route) => {
    attempts++;
    await route.fulfill({ contentType: "text/event-stream", body: "" });
  });
  await page.goto(running.stack.web);
  await signIn(page, user);
  await polling(page).waitFor();
  assert.equal(attempts, 3);
  await user.upload(text("polled.txt"));
  await wake(page);
  await sorted(page, "polled.txt");
  await page.unroute(stream);
  await wake(page);
  await polling(page).waitFor({ state: "detached" });
  await user.upload(text("live.txt"));
  await sorted(page, "live.txt");
});

scenario("a stream that something holds back: changes arrive, and later live", async (t) => {
  const user = await addUser();
  const page = await openBlank(t);
  await page.clock.install();
  let attempts = 0;
  await page.route(stream, () => void attempts++); // no response arrives
  await page.goto(running.stack.web);
  await signIn(page, user);
  for (const name of ["first.txt", "second.txt"]) {
    await until("an attempt", () => attempts > 0);
    await user.upload(text(name));
    await page.clock.fastForward(31_000);
    await sorted(page, name);
    await polling(page).waitFor();
    attempts = 0;
    await page.clock.fastForward(31_000); // the longest pause
  }
  await until("an attempt", () => attempts > 0);
  await page.unroute(stream);
  await page.clock.fastForward(31_000); // which ends the attempt
  await page.clock.fastForward(31_000);
  await polling(page).waitFor({ state: "detached" });
  await user.upload(text("live.txt"));
  await sorted(page, "live.txt");
});
