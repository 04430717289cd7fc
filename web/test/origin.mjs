// One origin for the page, the API and the gateway, behind nginx with the documented configuration.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { apiBehind, freePort, startNginx } from "../../docs/examples/stack.mjs";
import { expectNoConsoleErrors, openPage, running, scenario } from "./harness.mjs";

scenario("one origin: page, API, upload, preview and views of the page", async (t) => {
  const { stack } = running;
  const origin = `http://127.0.0.1:${await freePort()}`;
  const api = await apiBehind(stack, origin);
  t.after(() => api.child.kill("SIGTERM"));
  const guide = readFileSync(new URL("../../docs/api-origin.md", import.meta.url), "utf8");
  const server = guide
    .match(/```nginx\n(.*?)```/s)[1]
    .replace("127.0.0.1:8000", origin.slice("http://".length))
    .replaceAll("http://127.0.0.1:8080", api.url)
    .replaceAll("http://127.0.0.1:9000", stack.gateway);
  const nginx = await startNginx(stack.folder, server, `${origin}/api/config`);
  t.after(() => nginx.kill("SIGTERM"));

  const page = await openPage(t, { url: origin });
  await page.getByRole("heading", { level: 1 }).waitFor();
  const { email, password } = stack.account("bob");
  const content = "Invoice 17: please pay the amount within 30 days.";
  const { id, url } = await page.evaluate(
    async ({ content, ...credentials }) => {
      const post = async (path, body, headers = {}) => {
        const response = await fetch(path, {
          method: "POST",
          headers: { "Content-Type": "application/json", ...headers },
          body: JSON.stringify(body),
        });
        return response.json();
      };
      const { access_token } = await post("/api/auth/login", credentials);
      const headers = { Authorization: `Bearer ${access_token}` };
      const request = {
        filename: "invoice.txt",
        content_type: "text/plain",
        size: content.length,
      };
      const { document, upload } = await post("/api/documents/upload-url", request, headers);
      await fetch(upload.url, { method: upload.method, headers: upload.headers, body: content });
      await post(`/api/documents/${document.id}/confirm`, undefined, headers);
      const path = `/api/documents/${document.id}/download-url?disposition=inline`;
      const { url } = await (await fetch(path, { headers })).json();
      return { id: document.id, url };
    },
    { email, password, content },
  );
  assert.ok(url.startsWith(`${origin}/`), url);
  const frame = await page.evaluateHandle((src) => {
    const element = Object.assign(document.createElement("iframe"), { src });
    const loaded = new Promise((done) => element.addEventListener("load", () => done(element)));
    document.body.append(element);
    return loaded;
  }, url);
  const inner = await frame.asElement().contentFrame();
  assert.equal((await inner.locator("body").textContent()).trim(), content);
  // The sandbox gives the file an origin of its own, although its URL has that of the page.
  assert.equal(await inner.evaluate(() => self.origin), "null");
  const origins = new Set(page.requests.map((request) => new URL(request.url()).origin));
  assert.deepEqual([...origins], [origin]);
  expectNoConsoleErrors(page);

  const view = await page.goto(`${origin}/documents/${id}`);
  assert.equal(view.headers()["content-type"], "text/html; charset=utf-8");
});
