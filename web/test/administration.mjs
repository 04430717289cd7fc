// The account and the administration.
import assert from "node:assert/strict";

import { addUser, axe, openPage, running, scenario, signIn, until } from "./harness.mjs";

// Opens a view as a user who is signed in.
async function openAs(t, user, path) {
  const page = await openPage(t);
  await signIn(page, user);
  await page.goto(running.stack.web + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

scenario("an administrator raises a quota, and the user's bar follows", async (t) => {
  const [user, admin] = [await addUser({ quota: 1 << 20 }), await addUser({ role: "admin" })];
  const page = await openAs(t, user, "/administration");
  await page.getByRole("heading", { name: "There is no such page." }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Administration" }).count(), 0);
  const space = page.getByRole("banner").getByRole("region", { name: "Space" });
  await space.getByText("0 byte of 1 MB").or(space.getByText("0 bytes of 1 MB")).waitFor();

  const administration = await openAs(t, admin, "/administration");
  await administration.getByRole("button", { name: `Change ${user.email}` }).click();
  await administration.getByRole("spinbutton", { name: "Space" }).fill("2.5");
  await administration.getByRole("combobox", { name: "Unit" }).selectOption("GB");
  const provider = administration.getByRole("combobox", { name: "AI provider" });
  await provider.selectOption("OpenAI");
  await administration.getByRole("button", { name: "Save" }).click();
  await administration.getByText("This provider is not configured").waitFor();
  assert.ok(await provider.evaluate((element) => element === document.activeElement));
  await axe(administration);
  await provider.selectOption("Default");
  await administration.getByRole("button", { name: "Save" }).click();
  await space.getByText("of 2.5 GB").waitFor();
  const row = administration.getByRole("row", { name: user.email });
  await row.getByText("of 2.5 GB").waitFor();
  await axe(administration);

  await administration.getByRole("button", { name: `Change ${user.email}` }).click();
  const { quota } = await (await addUser({ quota: null })).call("GET", "/api/me");
  await administration.getByRole("checkbox", { name: "Use the server's default" }).check();
  assert.ok(await administration.getByRole("spinbutton", { name: "Space" }).isDisabled());
  await axe(administration);
  await administration.getByRole("button", { name: "Save" }).click();
  await row.getByText("of 2.5 GB").waitFor({ state: "detached" });
  assert.equal((await user.call("GET", "/api/me")).quota.limit_bytes, quota.limit_bytes);
  await space.getByText("of 2.5 GB").waitFor({ state: "detached" });

  // On a small screen, each value has its label.
  await administration.setViewportSize({ width: 390, height: 844 });
  const label = await row
    .locator(".ai")
    .evaluate((cell) => getComputedStyle(cell, "::before").content);
  assert.equal(label, '"AI"');
  await axe(administration);
});

scenario("a password is changed, and problems are explained at their fields", async (t) => {
  const user = await addUser();
  const page = await openAs(t, user, "/account");
  const current = page.getByLabel("Current password");
  const next = page.getByLabel("New password");
  const password = "a longer way to say it";
  const change = async (before, after) => {
    await current.fill(before);
    await next.fill(after);
    await page.getByRole("button", { name: "Change password" }).click();
  };
  const explained = (field, text) =>
    until(text, async () => {
      const [invalid, id] = await Promise.all([
        field.getAttribute("aria-invalid"),
        field.getAttribute("aria-describedby"),
      ]);
      if (invalid !== "true") return false;
      const description = await page.locator(`#${id.split(" ")[0]}`).textContent();
      return description.includes(text);
    });
  await change(user.password, "too short");
  await explained(next, "6 characters are missing.");
  await change("wrong", password);
  await explained(current, "This is not the current password.");
  await change(user.password, user.password);
  await explained(next, "This is too easy to guess, or the current password.");
  await axe(page);
  await change(user.password, password);
  await page.getByText("Password changed.").first().waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goto(running.stack.web);
  await signIn(page, { email: user.email, password });
});

scenario("the page is in the language that the user chooses", async (t) => {
  const page = await openAs(t, await addUser(), "/account");
  await page.getByRole("radio", { name: "العربية" }).check();
  await page.getByRole("heading", { level: 1, name: "الحساب" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "الحساب" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("dir"), "rtl");
  await axe(page);
});
