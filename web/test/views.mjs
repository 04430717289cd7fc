// The views of a document, of topics, and of what needs the user.
import assert from "node:assert/strict";

import { addUser, axe, openPage, running, scenario, signIn, until } from "./harness.mjs";

const text = (name, content) => ({ name, type: "text/plain", content: Buffer.from(content) });

// Opens a view as a user.
async function open(t, user, path, options) {
  const page = await openPage(t, options);
  await signIn(page, user);
  await page.goto(running.stack.web + path);
  return page;
}

const focused = (page) =>
  page.evaluate(() => {
    const { ariaLabel, textContent, tagName } = document.activeElement;
    return tagName === "MAIN" ? "main" : (ariaLabel ?? textContent);
  });

scenario("a document: preview, name, topics and deletion elsewhere", async (t) => {
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Journeys" });
  const { id } = await user.upload(text("odd.txt", "zebra\n\nمرحبا بكم\n"));
  const page = await open(t, user, `/documents/${id}`);

  await page.locator("pre", { hasText: "zebra" }).waitFor();
  assert.equal(await page.title(), "odd.txt · Intray");
  await axe(page);

  await page.getByRole("button", { name: "Rename" }).press("Enter");
  const field = page.getByRole("textbox", { name: "Name of the document" });
  await field.fill("a/b.txt");
  await field.press("Enter");
  await page.getByRole("alert").getByText("slashes").waitFor();
  assert.ok(await field.evaluate((element) => element === document.activeElement));
  await field.press("Escape");
  assert.equal(await focused(page), "Rename");
  await page.keyboard.press("Enter");
  await field.fill("strange.txt");
  await field.press("Enter");
  await page.getByRole("heading", { name: "strange.txt" }).waitFor();
  assert.equal((await user.call("GET", `/api/documents/${id}`)).filename, "strange.txt");

  const topics = page.getByRole("region", { name: "Topics" });
  await topics.getByRole("button", { name: "Add topic" }).press("Enter");
  await page.getByRole("combobox").pressSequentially("journ");
  await page.keyboard.press("Enter");
  await topics.getByRole("link", { name: "Journeys" }).waitFor();
  await topics.getByText("Chosen by you").waitFor();
  await topics.getByRole("button", { name: "Add topic" }).press("Enter");
  await page.getByRole("combobox").pressSequentially("Zoo");
  await page.keyboard.press("Enter");
  await topics.getByRole("link", { name: "Zoo" }).waitFor();
  await topics.getByRole("button", { name: "Remove Journeys" }).click();
  await topics.getByRole("link", { name: "Journeys" }).waitFor({ state: "detached" });
  const { topics: chosen } = await user.call("GET", `/api/documents/${id}`);
  assert.deepEqual(chosen.map(({ name }) => name), ["Zoo"]);

  await user.call("DELETE", `/api/documents/${id}`);
  await page.getByRole("heading", { name: "This document no longer exists." }).waitFor();
  await axe(page);
});

scenario("a document: why it has its topic", async (t) => {
  const user = await addUser();
  const topic = await user.call("POST", "/api/topics", {
    name: "Beekeeping",
    keywords: ["beehive", "honey yield"],
  });
  const hives = (n) => `Beehive ${n}: the honey yield was good, the bees are healthy.`;
  const first = await user.upload(text("may.txt", hives(1)));
  await user.call("PATCH", `/api/documents/${first.id}`, { topic_ids: [topic.id] });
  const { id } = await user.upload(text("june.txt", hives(2)));
  const page = await open(t, user, `/documents/${id}`);

  await page.getByText("Why these topics?").press("Enter");
  const why = page.locator("details", { hasText: "Why these topics?" });
  await why.getByText("beehive", { exact: false }).waitFor();
  await why.getByText("honey yield", { exact: false }).waitFor();
  await axe(page);
  await why.getByRole("link", { name: "may.txt" }).click();
  await page.getByText("Chosen by you").waitFor();
  assert.equal(await page.getByText("Why these topics?").count(), 0);
});

scenario("a document that never existed", async (t) => {
  const page = await open(t, await addUser(), "/documents/0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b");
  await page.getByRole("heading", { name: "This document no longer exists." }).waitFor();
});

scenario("topics: what is wrong is explained at its field", async (t) => {
  const user = await addUser();
  const page = await open(t, user, "/topics");
  await page.getByRole("button", { name: "New topic" }).click();
  const dialog = page.getByRole("dialog");
  const name = dialog.getByRole("textbox", { name: "Name" });
  const keywords = dialog.getByRole("textbox", { name: "Keywords" });

  await name.fill("x".repeat(41));
  await name.press("Enter");
  await dialog.getByText("A name has 1 to 40 characters.").waitFor();
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  await name.fill("Garden");
  await keywords.pressSequentially("seed, soil,");
  await keywords.pressSequentially("y".repeat(41));
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("There can be 50 keywords").waitFor();
  assert.equal(await name.getAttribute("aria-invalid"), "false");
  await axe(page);
  await keywords.fill("water can");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  const { items } = await user.call("GET", "/api/topics");
  const made = items.find(({ scope }) => scope === "user");
  assert.deepEqual(made.keywords, ["seed", "soil", "water can"]);

  const { id } = await user.upload(text("seeds.txt", "zebra"));
  await user.call("PATCH", `/api/documents/${id}`, { topic_ids: [made.id] });
  await page.getByRole("main").getByRole("link", { name: "1 document" }).waitFor();
  await page.getByRole("button", { name: "Delete Garden" }).click();
  await dialog.getByText("1 document loses this topic.").waitFor();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await dialog.waitFor({ state: "detached" });
  await until("the focus to move", async () => (await focused(page)) === "main");
});

scenario("a merge that was interrupted goes on and loses no document", async (t) => {
  const user = await addUser();
  const from = await user.call("POST", "/api/topics", { name: "Trips" });
  const into = await user.call("POST", "/api/topics", { name: "Journeys" });
  const { id } = await user.upload(text("trip.txt", "zebra"));
  await user.call("PATCH", `/api/documents/${id}`, { topic_ids: [from.id] });

  const page = await openPage(t);
  // As if the classifier had suggested the topic.
  await page.route("**/api/topics", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    for (const topic of body.items) topic.suggested = topic.id === from.id;
    await route.fulfill({ response, json: body });
  });
  let broken = true;
  await page.route("**/api/documents/batch", (route) =>
    broken ? route.abort() : route.continue(),
  );
  await signIn(page, user);
  await page.goto(`${running.stack.web}/topics`);

  await page.getByRole("button", { name: "Merge Trips" }).click();
  await page.getByRole("combobox").pressSequentially("journ");
  await page.keyboard.press("Enter");
  await page.getByText("has stopped").waitFor();
  await axe(page);
  const { items } = await user.call("GET", "/api/topics");
  assert.ok(items.some((topic) => topic.id === from.id), "the topic is kept");

  broken = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("“Trips” is now part of “Journeys”.").first().waitFor();
  const { topics } = await user.call("GET", `/api/documents/${id}`);
  assert.deepEqual(topics.map((topic) => topic.id), [into.id]);
});

scenario("what needs the user goes when done, and the keyboard keeps its place", async (t) => {
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Journeys" });
  await user.upload(text("empty.txt", ""));
  await user.upload(text("void.txt", ""));
  await user.upload(text("odd.txt", "zebra"));
  const page = await open(t, user, "/needs-you");
  const main = page.getByRole("main");
  const row = (name) => main.getByRole("listitem").filter({ hasText: name });
  await main.getByRole("heading", { name: "it has no text" }).waitFor();
  await main.getByRole("heading", { name: "No topic fits" }).waitFor();
  // The number beside the link is that of the rows.
  const badge = page.getByRole("link", { name: /^Needs you/ }).locator(".badge");
  await badge.getByText("3", { exact: true }).waitFor();
  await axe(page);

  const choose = async (name) => {
    await main.getByRole("button", { name: `Choose topic for ${name}` }).press("Enter");
    await page.getByRole("combobox").pressSequentially("journ");
    await page.keyboard.press("Enter");
    await row(name.split(".")[0]).waitFor({ state: "detached" });
  };
  await choose("empty.txt");
  await until("the focus to move", async () => (await focused(page)) === "void.txt");
  await badge.getByText("2", { exact: true }).waitFor();
  await choose("odd.txt");
  await main.getByRole("button", { name: "Delete void.txt" }).click();
  await main.getByRole("heading", { name: "Nothing needs you" }).waitFor();
  await until("the focus to move", async () => (await focused(page)) === "main");
  await badge.waitFor({ state: "detached" });
  await axe(page);

  await user.upload(text("late.txt", ""));
  await row("late").waitFor();
});

scenario("a topic of everybody and one's own with the same name look different", async (t) => {
  const [user, admin] = [await addUser(), await addUser({ role: "admin" })];
  const shared = await admin.call("POST", "/api/admin/topics", { name: "Zyx" });
  t.after(() => admin.call("DELETE", `/api/admin/topics/${shared.id}`));
  const own = await user.call("POST", "/api/topics", { name: "zyx" });
  const { id } = await user.upload(text("both.txt", "zebra"));
  await user.call("PATCH", `/api/documents/${id}`, { topic_ids: [own.id, shared.id] });
  const page = await openPage(t);
  await signIn(page, user);
  const names = ["zyx", "Zyx (for everybody)"];
  const chips = page.getByRole("row").locator(".chip");
  await until("both", async () => (await chips.count()) === 2);
  assert.deepEqual((await chips.allTextContents()).sort().reverse(), names);
  const links = page.getByRole("navigation", { name: "Topics" }).getByRole("link");
  await links.nth(1).waitFor();
  const linked = (await links.allTextContents()).map((name) => name.replace(/1$/, ""));
  assert.deepEqual(linked.sort().reverse(), names);
});
