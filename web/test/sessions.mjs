// Sessions that end, and what another user of the same browser then gets: nothing.
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

const text = (name) => ({ name, type: "text/plain", content: Buffer.from(`zebra ${name}`) });
const waiting = ["first.txt", "second.txt", "third.txt"].map(text);
const rowOf = (page, name) => page.getByRole("row").filter({ hasText: name });
const ended = (page) => page.getByText("Your session has ended");
const firstUse = (page) => page.getByRole("heading", { name: "Drop your first documents here" });
const form = (page) => page.getByRole("heading", { name: "Sign in" });
const isUploadRequest = (request) => request.url().endsWith("/api/documents/upload-urls");

// Refuses the token of the next request for upload URLs.
const refuseToken = (page) =>
  page.route(
    "**/api/documents/upload-urls",
    (route) => route.fulfill({ status: 401, json: { code: "unauthenticated", status: 401 } }),
    { times: 1 },
  );

// Drops files when the server has ended the session, so that they wait for the next sign-in.
async function endSessionAndDrop(page, files) {
  await page.context().clearCookies();
  await refuseToken(page);
  await dropFiles(page, files);
  await ended(page).waitFor();
}

// Fails unless the page shows nothing of alice, and bob has nothing of hers.
async function expectNothingOf(alice, bob, page, begin) {
  await firstUse(page).waitFor();
  assert.equal(await rowOf(page, ".txt").count(), 0);
  assert.deepEqual(page.requests.slice(begin).filter(isUploadRequest), []);
  assert.deepEqual(await bob.documents(), []);
  assert.deepEqual((await alice.documents()).map(({ filename }) => filename), ["alice.txt"]);
}

scenario("waiting files go on only for the user who added them", async (t) => {
  const [alice, bob] = [await addUser(), await addUser()];
  await alice.upload(text("alice.txt"));
  const page = await openPage(t);
  await signIn(page, alice);
  await rowOf(page, "alice.txt").waitFor();
  await endSessionAndDrop(page, waiting);
  // A browser closes a dialog if Escape is pressed often enough.
  for (let presses = 0; presses < 4; presses++) await page.keyboard.press("Escape");
  await page.locator("dialog:modal :focus").waitFor();
  const begin = page.requests.length;
  await signIn(page, bob);
  await expectNothingOf(alice, bob, page, begin);
  assert.deepEqual(page.dialogs, [], "nothing was asked of bob");
});

scenario("another user who signs in in another tab gets nothing either", async (t) => {
  const [alice, bob] = [await addUser(), await addUser()];
  await alice.upload(text("alice.txt"));
  const page = await openPage(t);
  await signIn(page, alice);
  await rowOf(page, "alice.txt").waitFor();
  await endSessionAndDrop(page, waiting);
  const begin = page.requests.length;
  const tab = await page.context().newPage();
  await tab.goto(running.stack.web);
  await signIn(tab, bob);
  await expectNothingOf(alice, bob, page, begin);
});

scenario("a session that another server put in place of the user's is not used", async (t) => {
  const [alice, bob] = [await addUser(), await addUser()];
  await alice.upload(text("alice.txt"));
  await bob.upload(text("bob.txt"));
  const page = await openPage(t);
  await signIn(page, alice);
  await rowOf(page, "alice.txt").waitFor();
  const other = await openPage(t);
  await signIn(other, bob);
  const cookies = await other.context().cookies(`${running.stack.web}/api/auth`);
  const refresh = cookies.filter(({ name }) => name.startsWith("intray-refresh"));
  assert.equal(refresh.length, 1);
  await page.context().addCookies(refresh);
  await page.reload();
  await ended(page).waitFor();
  await signIn(page, alice);
  await rowOf(page, "alice.txt").waitFor();
  await page.reload();
  await rowOf(page, "alice.txt").waitFor();
  assert.equal(await rowOf(page, "bob.txt").count(), 0);
});

scenario("a tab uses the tokens of another one only if they are the same user's", async (t) => {
  const [alice, bob] = [await addUser(), await addUser()];
  const page = await openPage(t);
  await signIn(page, alice);
  // As if the browser had been told to forget what it knows of the site.
  await page.context().clearCookies();
  await page.evaluate(() => localStorage.clear());
  const tab = await page.context().newPage();
  await tab.goto(running.stack.web);
  await signIn(tab, bob);
  await firstUse(tab).waitFor();

  await dropFiles(page, [text("alice.txt")]);
  await until("the file", async () => (await alice.documents()).length === 1);
  assert.deepEqual(await bob.documents(), []);

  // Once alice's token is refused, the browser has only bob's session.
  await refuseToken(page);
  const refused = page.waitForRequest(isUploadRequest);
  await dropFiles(page, waiting);
  await refused;
  await expectNothingOf(alice, bob, page, page.requests.length);
});

scenario("tabs that waited for the server share one new token", async (t) => {
  const user = await addUser();
  const page = await openPage(t);
  await signIn(page, user);
  const context = page.context();
  const tabs = [page, ...(await Promise.all([1, 2, 3].map(() => context.newPage())))];
  await page.goto("about:blank"); // no tab has a token to offer
  await context.route("**/api/config", (route) => route.abort());
  await Promise.all(tabs.map((tab) => tab.goto(running.stack.web)));
  await Promise.all(tabs.map((tab) => tab.getByText("does not answer").waitFor()));
  // The first token arrives when every tab wants one.
  let [starts, refreshes] = [0, 0];
  context.on("requestfinished", (request) => {
    if (request.url().endsWith("/api/config")) starts++;
  });
  await context.route("**/api/auth/refresh", async (route) => {
    refreshes++;
    await until("all tabs to start", () => starts === tabs.length);
    await route.continue();
  });
  await context.unroute("**/api/config");
  await Promise.all(tabs.map((tab) => firstUse(tab).waitFor()));
  assert.equal(refreshes, 1);
});

scenario("a new tab waits for the token of a tab that is busy", async (t) => {
  const user = await addUser();
  const page = await openPage(t);
  await signIn(page, user);
  const context = page.context();
  let refreshes = 0;
  context.on("request", (request) => {
    if (request.url().endsWith("/api/auth/refresh")) refreshes++;
  });
  const tab = await context.newPage();
  await page.evaluate(() => {
    const { postMessage } = BroadcastChannel.prototype;
    BroadcastChannel.prototype.postMessage = function (message) {
      setTimeout(() => postMessage.call(this, message), 1000);
    };
  });
  await tab.goto(running.stack.web);
  await firstUse(tab).waitFor();
  assert.equal(refreshes, 0);
});

scenario("signing out sends the deletions that could still be undone", async (t) => {
  const user = await addUser();
  const { id } = await user.upload(text("unwanted.txt"));
  const page = await openPage(t);
  await signIn(page, user);
  await page.getByRole("button", { name: "Actions for unwanted.txt" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Undo" }).waitFor();
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await form(page).waitFor();
  const documents = await user.documents();
  assert.deepEqual(documents.filter((each) => each.id === id && each.status !== "deleting"), []);
  expectNoConsoleErrors(page);
});

scenario("signing out offline is caught up at the next visit", async (t) => {
  const user = await addUser();
  const page = await openPage(t);
  const context = page.context();
  const sessionCookies = async () =>
    (await context.cookies()).filter(({ name }) => name.includes("refresh"));
  const tab = await context.newPage();
  await signIn(page, user);
  await tab.goto(running.stack.web);
  await firstUse(tab).waitFor();
  await page.getByRole("link", { name: "Account" }).click();
  const signOut = page.getByRole("button", { name: "Sign out" });
  await signOut.waitFor();
  // Another process of the browser learns later what this one writes to the storage.
  await tab.evaluate(() => {
    const before = { ...localStorage };
    Storage.prototype.getItem = (name) => before[name] ?? null;
    window.removed = [];
    Storage.prototype.removeItem = (name) => removed.push(name);
  });
  await context.setOffline(true);
  await signOut.click();
  await form(page).waitFor();
  await form(tab).waitFor();
  assert.deepEqual(await tab.evaluate(() => removed), [], "the next visit has to know of it");
  assert.equal((await sessionCookies()).length, 1, "the server knows nothing of it yet");
  await context.setOffline(false);
  await page.reload();
  await form(page).waitFor();
  assert.deepEqual(await sessionCookies(), []);
  const begin = page.requests.length;
  await page.reload();
  await form(page).waitFor();
  const paths = page.requests.slice(begin).map((request) => new URL(request.url()).pathname);
  assert.deepEqual(paths.filter((path) => path.startsWith("/api/")), ["/api/config"]);
});
