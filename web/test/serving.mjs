// How the page is served, as a browser sees it.
import assert from "node:assert/strict";

import { expectNoConsoleErrors, openPage, running, scenario, serve, until } from "./harness.mjs";

scenario("the page loads from its own origin, and nothing of it is refused", async (t) => {
  const page = await openPage(t);
  await page.getByRole("heading", { level: 1 }).waitFor();
  const origins = new Set(page.requests.map((request) => new URL(request.url()).origin));
  assert.deepEqual([...origins], [running.stack.web]);
  expectNoConsoleErrors(page);
});

scenario("a view opens at its own address, and a second visit loads no script again", async (t) => {
  const page = await openPage(t, { url: `${running.stack.web}/topics` });
  await page.getByRole("heading", { level: 1 }).waitFor();
  const second = await page.reload();
  assert.equal(second.status(), 200);
  const entries = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .filter(({ name }) => name.includes("/assets/"))
      .map(({ name, transferSize }) => [name, transferSize]),
  );
  assert.ok(entries.length >= 2, "scripts and style sheets were loaded");
  for (const [name, size] of entries) assert.equal(size, 0, `${name} came from the cache`);
});

scenario("the policy stops scripts, forms and requests that are not the page's", async (t) => {
  const page = await openPage(t);
  await page.getByRole("heading", { level: 1 }).waitFor();
  const thrown = await page.evaluate(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(event.effectiveDirective);
    });
    const elsewhere = "http://127.0.0.1:1/";
    const add = (name, members) => {
      const element = Object.assign(document.createElement(name), members);
      document.body.append(element);
      return element;
    };
    add("script", {}).append("window.injected = true");
    add("img", { src: elsewhere });
    add("iframe", { src: elsewhere });
    add("form", { action: "/api/me" }).submit();
    fetch(elsewhere).catch(() => {});
    const attempts = {
      markup: () => (document.createElement("p").innerHTML = "<b>bold</b>"),
      evaluation: () => setTimeout("window.injected = true"),
      policy: () => trustedTypes.createPolicy("other", {}),
      script: () => add("script", { src: elsewhere }),
    };
    return Object.keys(attempts).filter((name) => {
      try {
        attempts[name]();
      } catch {
        return true;
      }
    });
  });
  assert.deepEqual(thrown, ["markup", "evaluation", "policy", "script"]);
  for (const directive of ["connect-src", "form-action", "frame-src", "img-src"]) {
    await page.waitForFunction((name) => window.violations.includes(name), directive);
  }
  assert.equal(await page.evaluate(() => window.injected), undefined);
  assert.equal(page.url(), `${running.stack.web}/`);
});

scenario("a dialog's form closes it, although the policy forbids sending forms", async (t) => {
  const page = await openPage(t);
  await page.getByRole("heading", { level: 1 }).waitFor();
  const value = await page.evaluate(async () => {
    const dialog = document.createElement("dialog");
    const form = Object.assign(document.createElement("form"), { method: "dialog" });
    const button = Object.assign(document.createElement("button"), { value: "yes" });
    form.append(button);
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    const closed = new Promise((done) => dialog.addEventListener("close", done));
    button.click();
    await closed;
    return dialog.returnValue;
  });
  assert.equal(value, "yes");
  expectNoConsoleErrors(page);
});

scenario("no other page can display the page in a frame", async (t) => {
  const other = await serve(t, (request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(request.url === "/" ? `<iframe src="${running.stack.web}/"></iframe>` : "");
  });
  const page = await openPage(t, { url: other });
  await until("the frame to be refused", () => {
    return page.errors.some((text) => text.includes('"frame-ancestors \'none\'"'));
  });
});
