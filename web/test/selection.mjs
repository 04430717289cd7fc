// The places that a list keeps while it changes: what is seen, the focus, and the selection; and
// what becomes of actions and inputs that are interrupted. Most of the documents are invented by
// the test, which answers the page's requests for lists.
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

const document = (n, others) => ({
  id: `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`,
  version: 1,
  filename: `${name(n)}.txt`,
  content_type: "text/plain",
  detected_type: "text/plain",
  size: 1,
  sha256: null,
  duplicate_of: null,
  status: "classified",
  reason: null,
  retrying: false,
  upload: null,
  topics: [],
  topics_locked: false,
  classified_by: null,
  created_at: new Date(Date.UTC(2026, 0, 1, 0, n)).toISOString(),
  uploaded_at: null,
  classified_at: null,
  ...others,
});

// Opens the intray of a new user with as many invented documents, the first of which is the oldest.
async function openList(t, count, options) {
  const user = await addUser();
  const { id: userID } = await user.call("GET", "/api/me");
  const { events_after } = await user.call("GET", "/api/documents?limit=1");
  const page = await openPage(t, options);
  const all = new Map(Array.from({ length: count }, (_, n) => [document(n).id, document(n)]));
  const lists = []; // the queries of the requests
  const times = []; // when they were sent
  // broken: each of them fails. empty: as many of them get no documents, but a cursor.
  const list = { page, user, all, lists, times, broken: false, empty: 0 };
  const query = (url) => new URL(url).searchParams;
  await page.route(/\/api\/documents\?/, async (route) => {
    const asked = query(route.request().url());
    if (asked.has("status")) return route.continue();
    lists.push(asked);
    times.push(performance.now());
    if (list.broken) return route.fulfill({ status: 500, body: "" });
    if (list.empty-- > 0) {
      return route.fulfill({ json: { events_after, items: [], next_cursor: "~" } });
    }
    const ordered = [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    const cursor = asked.get("cursor");
    const items = ordered.filter(({ id }) => !cursor || id < cursor).slice(0, 100);
    const more = items.length > 0 && items.at(-1).id !== ordered.at(-1).id;
    const next_cursor = more ? items.at(-1).id : null;
    await route.fulfill({ json: { events_after, items, next_cursor } });
  });
  await page.route(/\/api\/documents\/0{8}-[^/]*$/, (route) => {
    const found = all.get(route.request().url().split("/").at(-1));
    return route.fulfill({ json: found, headers: { ETag: '"1"' } });
  });
  await signIn(page, user);
  const grid = page.getByRole("grid", { name: "Files" });
  await grid.getByRole("row").first().waitFor();
  // Passes events on as the tab does that reads the stream.
  list.publish = (...events) =>
    page.evaluate(
      ([name, some]) => {
        const channel = new BroadcastChannel(name);
        for (const event of some) channel.postMessage({ id: "", event });
        channel.close();
      },
      [`intray-live-${userID}`, events],
    );
  list.add = (...some) => {
    for (const data of some) all.set(data.id, data);
    return list.publish(...some.map((data) => ({ event: "document", data })));
  };
  list.remove = (...some) => {
    for (const n of some) all.delete(document(n).id);
    return list.publish(...some.map((n) => ({ event: "deleted", data: { id: document(n).id } })));
  };
  list.grid = grid;
  list.row = (n) => grid.locator(".row").filter({ hasText: name(n) });
  return list;
}

const name = (n) => `made-${String(n).padStart(3, "0")}`;
const topOf = (row) => row.evaluate((element) => element.getBoundingClientRect().top);
const indexOf = async (row) => Number(await row.getAttribute("data-index"));
const hasFocus = (row) => row.evaluate((element) => element === document.activeElement);
const focusOn = ({ row }, n) => until(`the focus on ${n}`, () => hasFocus(row(n)));

// Scrolls until a row is drawn, and then so that it is in the middle of the window.
async function scrollTo({ page, row }, n) {
  await until(`row ${n}`, async () => {
    if (await row(n).isVisible()) return true;
    await page.mouse.wheel(0, 1500);
    return false;
  });
  await row(n).evaluate((element) => element.scrollIntoView({ block: "center" }));
}

scenario("what is seen, the focus and the selection keep their place", async (t) => {
  const list = await openList(t, 250);
  const { page, row } = list;
  const press = (key) => page.keyboard.press(key);
  const selected = (n) => page.getByRole("toolbar").getByText(`${n} selected`).waitFor();

  // Documents that arrive above, or go there, move nothing.
  await scrollTo(list, 180);
  const before = { top: await topOf(row(180)), index: await indexOf(row(180)) };
  const moved = (by) => async () => (await indexOf(row(180))) === before.index + by;
  const isInPlace = async () => assert.ok(Math.abs((await topOf(row(180))) - before.top) < 2);
  await row(180).focus();
  await list.add(...Array.from({ length: 30 }, (_, n) => document(250 + n)));
  await until("30 rows above", moved(30));
  await isInPlace();
  await focusOn(list, 180);
  await list.remove(240, 241, 242);
  await until("3 rows less", moved(27));
  await isInPlace();

  // A range ends where the keyboard is, and begins where it began.
  await press("Shift+ArrowDown");
  await press("Shift+ArrowDown");
  await selected(3);
  await press("Shift+ArrowUp");
  await selected(2);
  await press("Shift+ArrowUp");
  await press("Shift+ArrowUp");
  await selected(2);
  await focusOn(list, 181);
  await press("Escape");
  await row(183).getByRole("checkbox").click();
  await list.add(document(280));
  await until("a row above", moved(28));
  await row(180).getByRole("checkbox").click({ modifiers: ["Shift"] });
  await selected(4);
  await row(181).getByRole("checkbox").click({ modifiers: ["Shift"] });
  await selected(3);

  // What leaves the list is no longer selected, and not deleted with the others.
  await list.remove(182);
  await selected(2);
  await row(183).focus();
  await press("Delete");
  await page.getByText("2 documents deleted.").first().waitFor();
  await focusOn(list, 180);
  await page.getByRole("button", { name: "Undo" }).press("Enter");
  await focusOn(list, 183);
  await row(181).waitFor();

  // In the menu of a row.
  await row(180).getByRole("button", { name: "Actions" }).press("Enter");
  await page.getByRole("button", { name: "Delete", exact: true }).press("Enter");
  await row(180).waitFor({ state: "detached" });
  await focusOn(list, 179);
  await press("Control+z");
  await focusOn(list, 180);

  // From a document back to its place, or that of the one which was shown last.
  const place = await topOf(row(180));
  for (const back of [
    () => page.getByRole("link", { name: "Back to the list" }).press("Enter"),
    () => page.goBack(),
  ]) {
    await press("Enter");
    await page.getByRole("heading", { level: 1, name: "made-180.txt" }).waitFor();
    await back();
    await focusOn(list, 180);
    assert.ok(Math.abs((await topOf(row(180))) - place) < 2);
  }
  await press("Enter");
  await page.getByRole("button", { name: "Next document" }).press("Enter");
  await page.getByRole("heading", { level: 1, name: "made-179.txt" }).waitFor();
  await page.getByRole("link", { name: "Back to the list" }).press("Enter");
  await focusOn(list, 179);
  await page.getByRole("navigation").getByRole("link", { name: "Topics" }).click();
  await page.getByRole("navigation").getByRole("link", { name: "Intray" }).click();
  await until("the focus at the top", () =>
    page.evaluate(() => document.activeElement.tagName === "MAIN" && scrollY === 0),
  );
  expectNoConsoleErrors(page, /download-url/); // there is no file
});

scenario("missed changes: pages are read again when they are seen", async (t) => {
  const list = await openList(t, 350);
  const { page, row, all, lists } = list;
  await scrollTo(list, 0);
  assert.equal(lists.length, 4);
  await page.evaluate(() => void scrollTo(0, 0));
  await row(349).waitFor();
  // Nobody says that these have come and gone.
  for (const n of [347, 348, 100, 101]) all.delete(document(n).id);
  for (const n of [350, 351, 352]) all.set(document(n).id, document(n));
  await list.publish({ event: "resync" });
  await row(352).waitFor();
  await row(348).waitFor({ state: "detached" });
  assert.equal(lists.length, 5, "only what is seen is read again");
  await scrollTo(list, 103);
  await row(99).waitFor();
  await row(101).waitFor({ state: "detached" });
  await scrollTo(list, 0);
  assert.ok(lists.length <= 9, `${lists.length} requests`);
  assert.equal(await list.grid.getAttribute("aria-rowcount"), `${all.size}`);

  // A page that fails is read again after pauses that grow. A change is not an attempt.
  const failed = page.getByText("The list could not be read. The page tries again by itself.");
  list.broken = true;
  const count = lists.length;
  await list.publish({ event: "resync" });
  await failed.waitFor();
  await list.remove(0);
  await row(0).waitFor({ state: "detached" });
  await until("three attempts", () => lists.length >= count + 3);
  const [first, second, third] = list.times.slice(count);
  assert.ok(second - first >= 500 && third - second >= 1000, list.times.slice(count).join());
  list.broken = false;
  await failed.waitFor({ state: "detached" });

  // The reader, or a connection that is back, ends a pause, whatever its length.
  await page.evaluate(() => {
    const { setTimeout } = window;
    window.setTimeout = (f, delay, ...rest) => setTimeout(f, delay > 400 ? 1e8 : delay, ...rest);
  });
  for (const end of [
    () => page.getByRole("button", { name: "Try again" }).click(),
    () => page.evaluate(() => dispatchEvent(new Event("online"))),
  ]) {
    list.broken = true;
    await list.publish({ event: "resync" });
    await failed.waitFor();
    list.broken = false;
    await end();
    await failed.waitFor({ state: "detached" });
  }

  // Any order can be cleared.
  await page.goto(`${running.stack.web}/?order=asc`);
  await page.getByRole("link", { name: "Clear filters" }).click();
  await page.waitForURL(`${running.stack.web}/`);
  await page.getByRole("link", { name: "Clear filters" }).waitFor({ state: "detached" });
});

scenario("the end of a list, and all of it, are read when the reader wants them", async (t) => {
  const list = await openList(t, 350);
  const { page, row, lists } = list;
  const press = (key) => page.keyboard.press(key);
  const toolbar = page.getByRole("toolbar", { name: "Selected documents" });
  const all = toolbar.getByRole("button", { name: "Select all" });
  await row(349).focus();
  await press("Control+a");
  await toolbar.getByText("100 selected").waitFor();
  await all.click();
  await toolbar.getByText("350 selected").waitFor();
  await all.waitFor({ state: "detached" });
  assert.equal(lists.length, 4);

  for (const key of ["End", "Shift+End"]) {
    await page.reload();
    await row(349).focus();
    await press(key);
    await focusOn(list, 0);
  }
  await toolbar.getByText("350 selected").waitFor();
  assert.equal(lists.length, 12);

  // A filter may select nothing of the first pages.
  list.empty = 2;
  await page.goto(`${running.stack.web}/?q=made`);
  await row(349).waitFor();
  expectNoConsoleErrors(page);
});

scenario("1,700 documents are deleted at once", async (t) => {
  const list = await openList(t, 1700);
  const { page, row } = list;
  const deleted = new Set();
  await page.route("**/api/documents/batch", async (route) => {
    const { ids } = route.request().postDataJSON();
    for (const id of ids) deleted.add(id);
    const items = ids.map((id) => ({ id, document: { ...list.all.get(id), status: "deleting" } }));
    await route.fulfill({ json: { items } });
  });
  await row(1699).focus();
  await page.keyboard.press("Control+a");
  await page.getByRole("button", { name: "Select all" }).click();
  await page.getByText("1,700 selected").waitFor();
  await page.keyboard.press("Delete");
  await page.getByRole("button", { name: "Close" }).click();
  await until("all to be deleted", () => deleted.size === 1700);
  await page.getByRole("heading", { name: /Nothing is here now|Drop your first/ }).waitFor();
  assert.equal(await page.getByText("could not be changed").count(), 0);
  expectNoConsoleErrors(page);
});

scenario("deletions are sent whatever happens to their message or the page", async (t) => {
  const list = await openList(t, 320);
  const { page, row } = list;
  const deletions = () =>
    page.requests
      .filter((request) => request.url().endsWith("/api/documents/batch"))
      .map((request) => request.postDataJSON())
      .filter(({ action }) => action === "delete")
      .map(({ ids }) => ids);

  // The problems of a batch are shown, and push the message of a deletion away.
  await row(319).focus();
  await page.keyboard.press("Delete");
  await page.getByText("1 document deleted.").first().waitFor();
  assert.deepEqual(deletions(), []);
  await page.route("**/api/documents/batch", async (route) => {
    const { ids, action } = route.request().postDataJSON();
    if (action !== "reclassify") return route.continue();
    const problem = { code: "wrong_status", title: "wrong status", status: 409 };
    await route.fulfill({ json: { items: ids.map((id) => ({ id, problem })) } });
  });
  const problems = page.locator(".toast", { hasText: "not possible in its present state" });
  for (const n of [1, 2, 3]) {
    await row(318).getByRole("button", { name: "Actions" }).click();
    await page.getByRole("button", { name: "Sort again" }).click();
    await problems.nth(n - 1).waitFor();
  }
  await until("the deletion", () => deletions().length === 1);
  assert.deepEqual(deletions(), [[document(319).id]]);
  await page.unroute("**/api/documents/batch");

  await scrollTo(list, 0);
  await row(0).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.getByText("319 documents deleted.").first().waitFor();
  // The browser sends the requests to their end although the page ends.
  await page.evaluate(() => {
    window.kept = [];
    const original = window.fetch;
    window.fetch = (request, ...others) => {
      if (request.url?.endsWith("/batch")) window.kept.push(request.keepalive);
      return original(request, ...others);
    };
    dispatchEvent(new PageTransitionEvent("pagehide"));
  });
  await until("319 deletions", () => deletions().flat().length === 320);
  assert.deepEqual(deletions().slice(1).map(({ length }) => length), [100, 100, 100, 19]);
  assert.equal(new Set(deletions().flat()).size, 320);
  assert.deepEqual(await page.evaluate(() => window.kept), [true, true, true, true]);
});

scenario("inputs: searches, days, pasted text, names, and deleting during uploads", async (t) => {
  const list = await openList(t, 3, { timezoneId: "Pacific/Auckland" });
  const { page, row, lists, user } = list;
  const main = page.getByRole("main");
  const focused = () => page.evaluate(() => document.activeElement.id);

  // The first Tab reaches the link that skips the navigation.
  await page.reload();
  await row(2).waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "main");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.matches("main *")));

  // A search that was typed just before the view is left.
  await page.clock.install();
  const search = page.getByRole("searchbox");
  await search.fill("made");
  await page.getByRole("navigation").getByRole("link", { name: "Topics" }).click();
  await page.getByRole("heading", { level: 1, name: "Topics" }).waitFor();
  await page.clock.runFor(1000);
  assert.equal(new URL(page.url()).search, "");
  await page.goBack();
  await row(2).waitFor();
  assert.equal(await search.inputValue(), "made");
  await page.clock.resume();

  // A day is one where the reader is.
  await page.goto(`${running.stack.web}/?from=2026-01-20&to=2026-01-21`);
  await row(2).waitFor();
  assert.equal(lists.at(-1).get("from"), "2026-01-19T11:00:00.000Z");
  assert.equal(lists.at(-1).get("to"), "2026-01-20T11:00:00.000Z");
  await list.publish(
    { event: "document", data: document(8, { created_at: "2026-01-20T11:00:00Z" }) },
    { event: "document", data: document(9, { created_at: "2026-01-19T11:00:00Z" }) },
  );
  await row(9).waitFor();
  assert.equal(await row(8).count(), 0);

  // Text that is pasted with its picture is text, and names may begin with a dot, or be one of
  // those that every object has.
  await page.goto(running.stack.web);
  await row(2).waitFor();
  await search.evaluate((field) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["x"], "pasted.png", { type: "image/png" }));
    clipboardData.setData("text/plain", "x");
    field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
  });
  const held = [];
  await page.route(`${running.stack.gateway}/**`, (route) => held.push(route));
  const file = (name) => ({ name, type: "text/plain", content: Buffer.from("zebra") });
  const names = [".notes.txt", "x.constructor", "plain.txt"];
  await dropFiles(page, [...names.map(file), { ...file("y.constructor"), type: "" }]);
  const upload = (name) => list.grid.getByRole("row").filter({ hasText: name });
  await upload("plain").getByText("Sending").waitFor();
  await upload("y.").waitFor();
  assert.equal(await upload("pasted").count(), 0);

  // Deleting a document cancels no upload, and deleting an upload no other one.
  await row(2).focus();
  await page.keyboard.press("Delete");
  await row(2).waitFor({ state: "detached" });
  await upload("plain").focus();
  await page.keyboard.press("Delete");
  await upload("plain").waitFor({ state: "detached" });
  await page.unroute(`${running.stack.gateway}/**`);
  for (const route of held) await route.continue().catch(() => undefined);
  for (const name of [".notes", "x."]) await upload(name).getByText("No topic fits").waitFor();
  const stored = (await user.documents()).map(({ filename }) => filename);
  assert.ok(stored.includes(".notes.txt") && !stored.includes("plain.txt"), stored.join());
  assert.equal(await main.getByText("This did not work").count(), 0);
});
