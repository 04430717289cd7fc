// A list of many documents.
import assert from "node:assert/strict";

import {
  addUser,
  expectNoConsoleErrors,
  fill,
  filledName as nameOf,
  openPage,
  scenario,
  signIn,
  until,
} from "./harness.mjs";

const total = 1000;

scenario(`${total} documents: pages, keyboard, search and order`, async (t) => {
  const user = await addUser();
  const begin = performance.now();
  await fill(user, total);
  t.diagnostic(`${total} documents were made in ${Math.round(performance.now() - begin)} ms`);
  const page = await openPage(t, { viewport: { width: 1280, height: 800 } });
  await signIn(page, user);
  const grid = page.getByRole("grid", { name: "Files" });
  const rows = grid.getByRole("row");
  const press = (key) => page.keyboard.press(key);
  const listed = () =>
    page.requests.filter((request) => {
      const { pathname, searchParams } = new URL(request.url());
      return pathname === "/api/documents" && !searchParams.has("status");
    });
  // Waits until a row is in the window and has the focus, and checks that few rows are drawn.
  const focusedRow = (name) =>
    until(`the focus on ${name}`, async () => {
      const { text, inside, drawn } = await page.evaluate(() => {
        const row = document.activeElement.closest(".row");
        const { top = -1, bottom } = row?.getBoundingClientRect() ?? {};
        return {
          text: row?.textContent ?? "",
          inside: top >= 0 && bottom <= innerHeight,
          drawn: document.querySelectorAll(".row").length,
        };
      });
      assert.ok(drawn < 60, `${drawn} rows are drawn`);
      return inside && text.includes(name);
    });
  const drawn = async () => (await rows.allTextContents()).length;

  // Only the first page is read, and only what is seen is drawn.
  await rows.first().waitFor();
  assert.equal(listed().length, 1);
  assert.ok((await drawn()) < 60);
  assert.equal(await grid.getAttribute("aria-rowcount"), "-1");

  // Scrolling reads the pages after it, each once and with a cursor, up to the last document.
  const last = page.getByRole("row").filter({ hasText: nameOf(0).slice(0, 9) });
  await until("the last document", async () => {
    await page.mouse.wheel(0, 4000);
    assert.ok((await drawn()) < 60);
    return last.isVisible();
  });
  assert.equal(listed().length, total / 100);
  const cursors = listed().map((request) => new URL(request.url()).searchParams.get("cursor"));
  assert.equal(new Set(cursors).size, total / 100);
  assert.equal(await grid.getAttribute("aria-rowcount"), `${total}`);

  // The keyboard moves through all rows.
  await last.focus();
  await press("Home");
  const ordered = (await user.documents()).map(({ filename }) => filename.slice(0, 9));
  await focusedRow(ordered[0]);
  await press("PageDown");
  const height = await rows.first().evaluate((row) => row.clientHeight);
  const step = Math.floor(800 / height) - 3;
  await focusedRow(ordered[step]);
  await press("PageUp");
  await focusedRow(ordered[0]);
  await press("End");
  await focusedRow(ordered[total - 1]);
  await press("ArrowUp");
  await focusedRow(ordered[total - 2]);
  await press("Home");
  await focusedRow(ordered[0]);

  // Three rows are selected with the keyboard, deleted, and had back.
  const selection = page.getByRole("toolbar", { name: "Selected documents" });
  await press("Shift+ArrowDown");
  await focusedRow(ordered[1]);
  await press("Shift+ArrowDown");
  await focusedRow(ordered[2]);
  await selection.getByText("3 selected").waitFor();
  await press("Delete");
  await page.getByText("3 documents deleted.").first().waitFor();
  assert.equal(await grid.getAttribute("aria-rowcount"), `${total - 3}`);
  await focusedRow(ordered[3]);
  await press("Control+z");
  await until("the rows to be back", async () => {
    return (await grid.getAttribute("aria-rowcount")) === `${total}`;
  });
  await press("Home");
  await focusedRow(ordered[0]);

  // All of them.
  await press("Control+a");
  await selection.getByText("1,000 selected").waitFor();
  await press("Delete");
  await page.getByText("1,000 documents deleted.").first().waitFor();
  await page.getByRole("row").first().waitFor({ state: "detached" });
  await press("Control+z");
  await rows.first().waitFor();
  assert.equal(await grid.getAttribute("aria-rowcount"), `${total}`);
  assert.equal((await user.documents()).length, total);

  // What is searched for and the order are in the address, and survive a reload and Back.
  const search = page.getByRole("searchbox", { name: "Search by name" });
  await search.fill("page-01");
  await until("what was found", async () => (await grid.getAttribute("aria-rowcount")) === "100");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Sort by" }).selectOption("Name");
  await rows.first().filter({ hasText: nameOf(100).slice(0, 9) }).waitFor();
  await press("Escape");
  const address = new URL(page.url()).search;
  assert.equal(address, "?q=page-01&sort=filename");
  const found = async () => {
    await rows.first().filter({ hasText: nameOf(100).slice(0, 9) }).waitFor();
    assert.equal(await grid.getAttribute("aria-rowcount"), "100");
    assert.equal(await search.inputValue(), "page-01");
    assert.equal(new URL(page.url()).search, address);
  };
  await page.reload();
  await found();
  await rows.first().getByRole("link").first().click();
  await page.waitForURL("**/documents/*");
  await page.goBack();
  await found();
  await page.getByRole("link", { name: "Clear filters" }).click();
  await rows.first().filter({ hasText: ordered[0] }).waitFor();
  assert.equal(await search.inputValue(), "");
  await page.goBack();
  await found();
  expectNoConsoleErrors(page);
});
