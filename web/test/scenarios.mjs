// What people do with the page, from the address that "up" prints.
import assert from "node:assert/strict";
import { createServer } from "node:http";

import { mixedFiles, noTopic, texts, unsorted } from "./files.mjs";
import {
  addUser,
  axe,
  countRequests,
  dropFiles,
  expectNoConsoleErrors,
  forwardTo,
  openPage,
  running,
  scenario,
  signIn,
  until,
} from "./harness.mjs";

const tall = { viewport: { width: 1280, height: 1400 } };

async function withTopics() {
  const user = await addUser();
  const topics = { Invoices: ["invoice", "payment"], Minutes: ["meeting", "agenda"] };
  for (const [name, keywords] of Object.entries(topics)) {
    await user.call("POST", "/api/topics", { name, description: "", keywords });
  }
  return user;
}

const files = (page) => page.getByRole("grid", { name: "Files" });
const rowOf = (page, name) => files(page).getByRole("row").filter({ hasText: name });

// Waits until consumers have handled as many documents of the user.
const handled = (user, count) =>
  until(`${count} documents to be handled`, async () => {
    const { by_status: status } = await user.call("GET", "/api/documents/counts");
    const { classified = 0, failed = 0 } = status;
    return classified + failed === count;
  });

scenario("12 mixed files: every row shows what became of the file", async (t) => {
  const user = await withTopics();
  const page = await openPage(t, tall);
  await signIn(page, user);
  await page.evaluate(() => (window.sameVisit = true));
  const mixed = mixedFiles();
  assert.equal(mixed.length, 12);
  await dropFiles(page, mixed);
  await handled(user, 12);
  const outcomes = new Set();
  for (const { filename, topics, reason } of await user.documents()) {
    const wanted = reason ? unsorted[reason] : (topics[0]?.name ?? "No topic fits");
    await rowOf(page, filename).getByText(wanted).first().waitFor();
    outcomes.add(wanted);
  }
  assert.ok(outcomes.has("Invoices") && outcomes.has(unsorted.broken), [...outcomes].join());
  assert.ok(await page.evaluate(() => window.sameVisit), "the page was not loaded again");
  await axe(page);
  expectNoConsoleErrors(page);
});

scenario("200 files: at most 220 requests, right counts, and nothing jumps", async (t) => {
  const user = await withTopics();
  const page = await openPage(t, tall);
  await signIn(page, user);
  await page.evaluate(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries()) {
        const elements = sources.map(({ node }) => node?.className ?? node?.nodeName);
        window.shifts.push({ value, elements });
      }
    }).observe({ type: "layout-shift", buffered: false });
  });
  const begin = page.requests.length;
  await dropFiles(page, texts(200));
  await handled(user, 200);
  await page.getByRole("status").getByText("200 of 200 sorted").waitFor();
  const rows = files(page).getByRole("row");
  for (let index = 0; index < 10; index++) {
    await rows.nth(index).getByText("Invoices").first().waitFor();
  }
  const counts = countRequests(page, begin);
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  t.diagnostic(`${total} requests`);
  assert.ok(total <= 220, JSON.stringify(counts));
  const all = await user.documents();
  assert.equal(new Set(all.map(({ filename }) => filename)).size, 200);
  assert.equal(await files(page).getAttribute("aria-rowcount"), "200");
  const shifts = await page.evaluate(() => window.shifts);
  const sum = shifts.reduce((total, { value }) => total + value, 0);
  assert.ok(sum < 0.01, JSON.stringify(shifts));
  expectNoConsoleErrors(page);
});

scenario("changes all the time: few requests for the counts, which end right", async (t) => {
  const user = await withTopics();
  const page = await openPage(t, { url: "about:blank" });
  await page.clock.install();
  await page.goto(running.stack.web);
  await signIn(page, user);
  const begin = page.requests.length;
  const sent = texts(30);
  for (const file of sent) {
    await user.upload(file);
    await rowOf(page, file.name).getByText("Invoices").first().waitFor();
    await page.clock.runFor(900);
  }
  const requests = countRequests(page, begin);
  for (const path of ["/api/documents", "/api/documents/counts", "/api/me"]) {
    assert.ok(requests[`GET ${path}`] <= 6, JSON.stringify(requests));
  }
  await page.clock.runFor(2000);
  await page.getByRole("link", { name: "Invoices 30" }).waitFor();
  expectNoConsoleErrors(page);
});

// A proxy between the browser and the servers that loses the responses to the first uploads.
async function losingProxy(t, lost) {
  const uploads = [];
  const proxy = createServer((request, response) => {
    const upstream = forwardTo(request.url, request);
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    upstream.on("response", (got) => {
      if (request.method === "PUT" && uploads.push(got.statusCode) <= lost) {
        // A browser sends the request again by itself unless a response has begun.
        response.writeHead(got.statusCode, { "Content-Length": 1 }).flushHeaders();
        setImmediate(() => response.destroy());
        return;
      }
      got.pipe(response.writeHead(got.statusCode, got.headers));
    });
    request.pipe(upstream);
  });
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  t.after(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return { server: `http://127.0.0.1:${proxy.address().port}`, uploads };
}

scenario("a lost response to an upload: the row ends sorted, and nothing is doubled", async (t) => {
  const user = await withTopics();
  const { server, uploads } = await losingProxy(t, 2);
  const page = await openPage(t, { ...tall, proxy: { server, bypass: "<-loopback>" } });
  await signIn(page, user);
  await dropFiles(page, texts(3));
  await handled(user, 3);
  for (const { name } of texts(3)) {
    await rowOf(page, name).getByText("Invoices").first().waitFor();
  }
  assert.equal((await user.documents()).length, 3);
  assert.ok(uploads.length >= 3, "the responses were lost");
  assert.equal(await page.getByRole("alert").filter({ hasText: /\S/ }).count(), 0);
  assert.equal(await files(page).getByText(/failed|did not work|refused/i).count(), 0);
});

scenario("hostile names and contents: nothing runs, and names read right", async (t) => {
  const user = await withTopics();
  const page = await openPage(t, tall);
  await signIn(page, user);
  const names = [
    '<img src=x onerror="alert(1)">.txt',
    "<script>alert(1)</script>.txt",
    "{{constructor.constructor('alert(1)')()}}.txt",
    "javascript:alert(1).txt",
    "חשבונית 2026 (3).txt",
    "report\u202efdp.exe.txt",
  ];
  const text = Buffer.from("Invoice: please make the payment within 30 days.");
  const script = '<script>alert("run"); document.title = "changed"</script>';
  const contents = [
    { name: "page.html", type: "text/html", content: Buffer.from(`<!doctype html>${script}`) },
    {
      name: "picture.svg",
      type: "image/svg+xml",
      content: Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg">${script}</svg>`),
    },
  ];
  const named = names.map((name) => ({ name, type: "text/plain", content: text }));
  await dropFiles(page, [...named, ...contents]);
  await handled(user, names.length + contents.length);
  const outcome = RegExp(`Invoices|${noTopic.source}`);
  for (const { id, filename } of await user.documents()) {
    const row = rowOf(page, filename);
    await row.waitFor();
    // The override characters are shown as such or removed, and never turn the extension around.
    assert.doesNotMatch(await row.innerText(), /\u202e/);
    await row.getByText(outcome).first().waitFor();
    await row.getByRole("link", { name: filename, exact: true }).click();
    await page.waitForURL(`**/documents/${id}`);
    await page.getByRole("heading", { level: 1, name: filename }).waitFor();
    await page.getByText("Loading…").waitFor({ state: "hidden" });
    if (filename.endsWith(".txt")) {
      await page.getByRole("main").getByText(`${text}`).waitFor();
    } else {
      await page.getByRole("main").getByRole("button", { name: "Download" }).first().waitFor();
      assert.equal(await page.locator("main :is(iframe, img)").count(), 0);
    }
    await page.goBack();
  }
  // The size beside a right-to-left name keeps its order.
  const hebrew = rowOf(page, "חשבונית");
  await hebrew.waitFor();
  const order = await hebrew.evaluate((row) => {
    const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const at = node.data.search(/^\d+\s?byte|^\d+\s?[kM]?B/);
      if (at < 0) continue;
      const box = (from, to) => {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, to);
        return range.getBoundingClientRect();
      };
      return [box(0, 1).left, box(node.length - 1, node.length).left];
    }
    return null;
  });
  assert.ok(order && order[0] < order[1], `the size is read from left to right: ${order}`);
  assert.deepEqual(page.dialogs, []);
  assert.notEqual(await page.title(), "changed");
  assert.equal(await page.locator("img[src=x]").count(), 0);
  const { web, gateway } = running.stack;
  const origins = new Set(page.requests.map((request) => new URL(request.url()).origin));
  assert.deepEqual([...origins].sort(), [web, gateway].sort());
  expectNoConsoleErrors(page);
});
