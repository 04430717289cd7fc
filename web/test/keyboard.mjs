// The page without a pointer, on a phone's width, in German.
import assert from "node:assert/strict";

import { addUser, axe, expectNoConsoleErrors, openPage, scenario } from "./harness.mjs";

// Presses the Tab key until the focused element has the name, at most 60 times.
async function tabTo(page, name, key = "Tab") {
  const passed = [];
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press(key);
    const focused = await page.evaluate(() => {
      const { ariaLabel, labels, textContent } = document.activeElement;
      return (ariaLabel ?? labels?.[0]?.textContent ?? textContent).trim();
    });
    if (name instanceof RegExp ? name.test(focused) : focused === name) return;
    passed.push(focused);
  }
  assert.fail(`the Tab key does not reach ${name}, but ${passed.join(", ")}`);
}

scenario("keyboard only, 390 px, German: from signing in to undoing", async (t) => {
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Miete", keywords: ["mietvertrag"] });
  const tax = await user.call("POST", "/api/topics", { name: "Steuern", keywords: ["finanzamt"] });
  const page = await openPage(t, { locale: "de-DE", viewport: { width: 390, height: 844 } });
  const press = (key) => page.keyboard.press(key);
  const type = (text) => page.keyboard.type(text);

  // The field for the address has the focus.
  await page.getByRole("heading", { name: "Anmelden" }).waitFor();
  await type(user.email);
  await press("Tab");
  await type(user.password);
  await press("Enter");
  await page.getByRole("heading", { level: 1, name: "Eingang" }).waitFor();

  const chooser = page.waitForEvent("filechooser");
  await tabTo(page, "Dateien auswählen");
  await press("Enter");
  await (await chooser).setFiles([
    { name: "brief.txt", mimeType: "text/plain", buffer: Buffer.from("Mietvertrag und Kaution") },
    { name: "gedicht.txt", mimeType: "text/plain", buffer: Buffer.from("Der Nebel kommt.") },
  ]);
  const row = (name) => page.getByRole("row").filter({ hasText: name });
  await row("brief").getByText("Miete").first().waitFor();
  await row("gedicht").getByText("Kein Thema passt").waitFor();

  // Nothing is wider than the window.
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px too wide`);

  // Correct the topic in the view of the document.
  await tabTo(page, /^brief\.txt/);
  await press("Enter");
  await page.getByRole("heading", { level: 1, name: "brief.txt" }).waitFor();
  await tabTo(page, "Miete entfernen");
  await press("Enter");
  await page.getByRole("button", { name: "Miete entfernen" }).waitFor({ state: "detached" });
  await tabTo(page, /^Thema hinzufügen$/);
  await press("Enter");
  await page.locator("[role=combobox]:focus").waitFor();
  await type("steu");
  await press("Enter");
  await page.getByRole("button", { name: "Steuern entfernen" }).waitFor();
  const [brief] = (await user.documents()).filter(({ filename }) => filename === "brief.txt");
  assert.deepEqual(brief.topics.map(({ id }) => id), [tax.id]);

  // Filter the list by the topic.
  await tabTo(page, "Eingang", "Shift+Tab");
  await press("Enter");
  await page.getByRole("heading", { level: 1, name: "Eingang" }).waitFor();
  await tabTo(page, "Filtern");
  await press("Enter");
  await tabTo(page, /^Thema/);
  await type("Steuern");
  await row("gedicht").waitFor({ state: "detached" });
  await row("brief").waitFor();
  assert.equal(new URL(page.url()).searchParams.get("topic"), tax.id);
  await press("Escape");

  // Delete it, and have it back.
  await tabTo(page, /brief\.txt/);
  await press("Delete");
  await row("brief").waitFor({ state: "detached" });
  await page.getByText("1 Dokument gelöscht.").first().waitFor();
  await axe(page);
  await press("Control+z");
  await row("brief").waitFor();
  await page.getByText("1 Dokument gelöscht.").and(page.locator(".toast *")).waitFor({
    state: "detached",
  });
  await page.reload();
  await row("brief").waitFor();
  assert.equal((await user.documents()).length, 2);
  expectNoConsoleErrors(page);
});
