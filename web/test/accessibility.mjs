// Every view and state of the page by the rules of WCAG 2.2 AA: the main ones in light and dark
// colors and on a phone's width.
import assert from "node:assert/strict";

import { pdf, png } from "./files.mjs";
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

const text = (name, content) => ({ name, type: "text/plain", content: Buffer.from(content) });
const invoice = "Invoice 2026-17. Please make the payment of the invoice within 30 days.";

// Checks what is shown in light and dark colors, and on a phone's width.
async function axeInAll(page) {
  const size = page.viewportSize();
  await axe(page);
  await page.emulateMedia({ colorScheme: "dark" });
  await axe(page, ["color-contrast"]); // the only rule that depends on colors
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  await axe(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px too wide`);
  await page.setViewportSize(size);
}

// Without animations and transitions, in the midst of which colors have no contrast.
const still = { reducedMotion: "reduce" };

const main = (page) => page.getByRole("main");
const rowOf = (page, name) => page.getByRole("row").filter({ hasText: name });

async function goTo(page, path) {
  await page.goto(running.stack.web + path);
  await main(page).getByRole("heading", { level: 1 }).waitFor();
}

scenario("axe: signing in, a session that has ended, and the first use", async (t) => {
  const user = await addUser();
  const page = await openPage(t, still);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await axeInAll(page);
  await page.getByRole("textbox", { name: "Email" }).fill(user.email);
  await page.getByLabel("Password").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("is wrong").waitFor();
  await axe(page);

  await signIn(page, user);
  await page.getByRole("heading", { name: "Drop your first documents here" }).waitFor();
  await axeInAll(page);
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["x"], "x.txt"));
    document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer, bubbles: true }));
  });
  await page.getByText("Drop the files to sort them").waitFor();
  await axeInAll(page);
  await page.evaluate(() => document.body.dispatchEvent(new DragEvent("dragleave")));

  await goTo(page, "/topics");
  await axe(page);
  await goTo(page, "/needs-you");
  await page.getByRole("heading", { name: "Nothing needs you" }).waitFor();
  await axe(page);
  await goTo(page, "/nowhere");
  await page.getByRole("heading", { name: "There is no such page." }).waitFor();
  await axe(page);
  await goTo(page, "/account");
  await axeInAll(page);

  // The server ends the session while the user is somewhere.
  await page.context().clearCookies();
  await page.route("**/api/documents?*", (route) =>
    route.fulfill({ status: 401, json: { code: "unauthenticated", status: 401 } }),
  );
  await page.getByRole("link", { name: "Needs you" }).click();
  await page.getByText("Your session has ended").waitFor();
  await axeInAll(page);
  await page.unroute("**/api/documents?*");
  await page.getByLabel("Password").fill(user.password);
  await page.keyboard.press("Enter");
  await page.getByText("Your session has ended").waitFor({ state: "detached" });
  await page.getByRole("heading", { level: 1, name: "Needs you" }).waitFor();
});

scenario("axe: the list and what becomes of files", async (t) => {
  const user = await addUser({ quota: 1_000_000 });
  await user.call("POST", "/api/topics", { name: "Invoices", keywords: ["invoice", "payment"] });
  const uploaded = [
    text("invoice.txt", invoice),
    text("poem.txt", "The fog comes on little cat feet."),
    text("empty.txt", ""),
  ];
  await Promise.all(uploaded.map((file) => user.upload(file)));
  const page = await openPage(t, still);
  await signIn(page, user);
  await rowOf(page, "invoice.txt").getByText("Invoices").first().waitFor();
  await axeInAll(page);

  const pick = (name) => page.getByRole("checkbox", { name: `Select ${name}` });
  await pick("invoice.txt").check();
  await pick("poem.txt").check();
  await page.getByText("2 selected").waitFor();
  await axeInAll(page);
  await page.getByRole("button", { name: "Add topic" }).click();
  await page.getByRole("button", { name: "Invoices" }).first().waitFor();
  await axe(page);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Clear selection" }).click();

  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Sort by" }).waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Actions for invoice.txt" }).click();
  await page.getByRole("button", { name: "Sort again" }).waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox").fill("nothing like it");
  await page.getByText("No document fits these filters.").waitFor();
  await axe(page);
  await page.getByRole("link", { name: "Clear filters" }).first().click();

  // What the page refuses, what fails, and what is being sent.
  const { max_document_bytes: most } = await user.call("GET", "/api/config");
  const enormous = (limit) => {
    Object.defineProperty(File.prototype, "size", {
      configurable: true,
      get() {
        const { get } = Object.getOwnPropertyDescriptor(Blob.prototype, "size");
        return this.name === "enormous.txt" ? limit + 1 : get.call(this);
      },
    });
  };
  await page.evaluate(enormous, most);
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await page.route(`${running.stack.gateway}/**`, async (route) => {
    await held;
    await route.abort().catch(() => undefined);
  });
  await dropFiles(page, [
    text("enormous.txt", "x"),
    { name: "film.mp4", type: "video/mp4", content: Buffer.from("x") },
    { name: "large.txt", type: "text/plain", size: 2_000_000 },
    text("slow.txt", "zebra"),
  ]);
  await rowOf(page, "enormous.txt").getByText("Too large").waitFor();
  await rowOf(page, "film.mp4").getByText("not accepted").waitFor();
  await rowOf(page, "large.txt").getByText("No room").waitFor();
  await rowOf(page, "slow.txt").getByText("Sending").waitFor();
  await page.getByText("Sending 1 file").first().waitFor();
  await axeInAll(page);
  await page.getByRole("button", { name: "Pause slow.txt" }).click();
  await rowOf(page, "slow.txt").getByText("Paused").waitFor();
  await axe(page);
  answer();

  await pick("poem.txt").check();
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Undo" }).waitFor();
  await axeInAll(page);
  await page.context().setOffline(true);
  await page.getByText("You are offline").waitFor();
  await axeInAll(page);
});

scenario("axe: documents, topics, what needs the user, and administration", async (t) => {
  const admin = await addUser({ role: "admin" });
  await admin.call("POST", "/api/topics", { name: "Invoices", keywords: ["invoice", "payment"] });
  const uploaded = [
    { name: "invoice.pdf", type: "application/pdf", content: pdf(invoice) },
    { name: "picture.png", type: "image/png", content: png() },
    text("invoice.txt", invoice),
    { name: "page.html", type: "text/html", content: Buffer.from("<p>Invoice and payment") },
    text("empty.txt", ""),
  ];
  const documents = await Promise.all(uploaded.map((file) => admin.upload(file)));
  const page = await openPage(t, still);
  await signIn(page, admin);
  const shown = { "invoice.pdf": "iframe", "picture.png": "img", "invoice.txt": "pre" };
  for (const { id, filename } of documents) {
    await goTo(page, `/documents/${id}`);
    const preview = page.getByRole("region", { name: "Preview" });
    const content = shown[filename];
    if (content) await preview.locator(content).waitFor();
    await preview.getByText("Loading…").waitFor({ state: "detached" });
    await (filename === "invoice.pdf" ? axeInAll(page) : axe(page));
  }
  await goTo(page, `/documents/${documents[0].id}`);
  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Name of the document" }).waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Add topic" }).click();
  await page.getByRole("combobox").waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");

  await goTo(page, "/topics");
  await axeInAll(page);
  await page.getByRole("button", { name: "New topic" }).click();
  await page.getByRole("dialog").waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Delete Invoices" }).click();
  await page.getByRole("dialog").getByText("lose this topic").waitFor();
  await axeInAll(page);
  await page.keyboard.press("Escape");

  await goTo(page, "/needs-you");
  await main(page).getByRole("heading", { name: "it has no text" }).waitFor();
  await axeInAll(page);
  await goTo(page, "/administration");
  const change = page.getByRole("button", { name: /^Change person/ }).first();
  await change.waitFor();
  await axeInAll(page);
  await change.click();
  await page.getByRole("dialog").waitFor();
  await axeInAll(page);
  expectNoConsoleErrors(page);
});

scenario("space at 80 and at 100 %", async (t) => {
  const user = await addUser({ quota: 1024 });
  const file = (name, size) => text(name, "zebra ".repeat(size).slice(0, size));
  await user.upload(file("small.txt", 810));
  const page = await openPage(t, still);
  await signIn(page, user);
  const space = page.getByRole("banner").getByRole("region", { name: "Space" });
  await space.getByText("810 bytes of 1 kB").waitFor();
  assert.equal(await space.getByRole("link").count(), 0);
  await user.upload(file("ten.txt", 10));
  await space.getByText("Your space is nearly full.").waitFor();
  await axeInAll(page);
  await user.upload(file("rest.txt", 204));
  await space.getByText("Your space is full.").waitFor();
  await axeInAll(page);
  await space.getByRole("link", { name: "Make room" }).click();
  await page.waitForURL("**/?sort=size");
  await page.getByRole("row").first().filter({ hasText: "small.txt" }).waitFor();
});

scenario("axe: changes that arrive late, and an upload that was interrupted", async (t) => {
  const user = await addUser();
  const page = await openPage(t, { ...still, url: "about:blank" });
  const refusals = []; // of attempts to read the event stream
  await page.route("**/api/documents/events", (route) => {
    refusals.push(() => route.fulfill({ status: 502, body: "" }));
  });
  await page.goto(running.stack.web);
  await signIn(page, user);
  const status = (name) => page.getByRole("status").getByText(name);
  const refuse = async () => {
    await until("an attempt", () => refusals.length > 0);
    await refusals.pop()();
    await page.evaluate(() => dispatchEvent(new Event("online"))); // no pause
  };
  await refuse();
  await status("Reconnecting").waitFor();
  await axeInAll(page);
  await refuse();
  await refuse();
  await status("Live updates are interrupted").waitFor();
  await axeInAll(page);

  await page.route(`${running.stack.gateway}/**`, (route) => route.abort());
  await dropFiles(page, [text("scan.txt", invoice)]);
  await rowOf(page, "scan.txt").getByText("Waiting for the connection").waitFor();
  await axe(page);
  await page.reload();
  await rowOf(page, "scan.txt").getByText("Interrupted").waitFor();
  await axeInAll(page);
  await page.getByRole("link", { name: "Needs you" }).click();
  await main(page).getByRole("heading", { name: "Interrupted uploads" }).waitFor();
  await axeInAll(page);
});

scenario("axe: from right to left, in Arabic", async (t) => {
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Invoices", keywords: ["invoice", "payment"] });
  const documents = await Promise.all(
    [text("invoice.txt", invoice), text("empty.txt", "")].map((file) => user.upload(file)),
  );
  const page = await openPage(t, { ...still, locale: "ar-EG" });
  await page.getByRole("heading", { level: 1 }).waitFor();
  await axeInAll(page);
  await page.locator("[name=email]").fill(user.email);
  await page.locator("[name=password]").fill(user.password);
  await page.keyboard.press("Enter");
  await rowOf(page, "invoice.txt").getByText("Invoices").first().waitFor();
  assert.equal(await page.locator("html").getAttribute("dir"), "rtl");
  await axeInAll(page);
  for (const path of ["/needs-you", "/topics", "/account", `/documents/${documents[0].id}`]) {
    await goTo(page, path);
    await axeInAll(page);
  }
  expectNoConsoleErrors(page);
});
