// How files are uploaded, whatever happens to requests, responses, servers and files.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { addUser, running, until } from "./harness.mjs";
import {
  add,
  confirmed,
  counts,
  ended,
  open,
  remembered,
  rows,
  sent,
  signIn,
  states,
  storage,
  texts,
  visit,
} from "./uploads/setup.mjs";

const MiB = 1 << 20;

// Fails unless the user has exactly these numbers of documents, none of which waits for a file.
async function expectDocuments(page, count) {
  await confirmed(page);
  const documents = await page.user.documents();
  const waiting = documents.filter(({ status }) => status === "pending");
  assert.deepEqual([documents.length, waiting.length], [count, 0]);
  assert.deepEqual(await remembered(page), []);
}

function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), "intray-files-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

// Lets so many responses begin, and the others when the function that it returns is called.
function responsesAfter(count) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  storage.ready = async () => void (--count < 0 && (await released));
  return release;
}

test("200 files take two requests and 200 uploads, six at a time", async (t) => {
  const page = await open(t);
  storage.delay = 10;
  const begin = page.requests.length;
  await add(page, texts(200));
  await ended(page);
  const { PUT, "POST documents/upload-urls": urls, ...others } = counts(page, begin);
  assert.deepEqual({ PUT, urls, most: storage.most }, { PUT: 200, urls: 2, most: 6 });
  assert.ok(Object.keys(others).every((key) => key.startsWith("GET")), JSON.stringify(others));
  const { totals, order } = await page.evaluate(() => ({
    totals: totals.value,
    order: uploads.value.map(({ name }) => name),
  }));
  const bytes = texts(200).reduce((sum, { content }) => sum + content.length, 0);
  const expected = { files: 200, done: 200, refused: 0, bytes, sent: bytes, active: false };
  assert.deepEqual(totals, expected);
  assert.deepEqual(order, texts(200).map(({ name }) => name));
  await expectDocuments(page, 200);
});

test("storage below the page's own origin leaves two connections to the API", async (t) => {
  const page = await open(t, {
    prepare: (context) =>
      context.addInitScript(() => {
        const { json } = Response.prototype;
        Response.prototype.text = async function () {
          const body = await this.arrayBuffer();
          const text = new TextDecoder().decode(body);
          return text.replaceAll(/http:\/\/127.0.0.1:\d+(?=\/documents\/)/g, location.origin);
        };
        Response.prototype.json = async function () {
          const hasURLs = this.url.includes("/upload-urls");
          return hasURLs ? JSON.parse(await this.text()) : json.call(this);
        };
      }),
  });
  storage.delay = 50;
  await add(page, texts(40));
  await ended(page);
  assert.equal(storage.most, 4);
  await expectDocuments(page, 40);
});

test("a file whose response was lost is sent once and ends as sent", async (t) => {
  const page = await open(t);
  let count = 0;
  storage.lose = () => ++count % 5 === 1;
  await add(page, texts(20));
  await ended(page);
  assert.deepEqual(await states(page), { sent: 20 });
  assert.equal(counts(page).PUT, 20);
  await expectDocuments(page, 20);
});

test("a browser that was offline goes on at once", async (t) => {
  const page = await open(t);
  const release = responsesAfter(30);
  await add(page, texts(150));
  await sent(page, 30);
  // Pauses that have become long do not end by themselves.
  await page.evaluate(() => {
    const { setTimeout } = window;
    window.setTimeout = (f, delay, ...rest) => setTimeout(f, delay > 2000 ? 1e8 : delay, ...rest);
    addEventListener("online", () => (window.setTimeout = setTimeout));
  });
  await page.context().setOffline(true);
  release();
  await until("all attempts to fail", async () =>
    Object.keys(await states(page)).every((state) => /^(sent|retrying|waiting)$/.test(state)),
  );
  const { done } = await page.evaluate(() => totals.value);
  assert.ok(done < 150);
  await page.context().setOffline(false);
  await ended(page);
  assert.deepEqual(await states(page), { sent: 150 });
  await expectDocuments(page, 150);
});

test("files arrive once if the API and the gateway are killed meanwhile", async (t) => {
  const page = await open(t);
  storage.delay = 50;
  await add(page, texts(150));
  await sent(page, 30);
  const stack = () => JSON.parse(readFileSync(join(running.stack.data, "stack.json"), "utf8"));
  for (const name of ["api", "gateway"]) process.kill(stack().pids[name], "SIGKILL");
  await ended(page);
  assert.deepEqual(await states(page), { sent: 150 });
  await expectDocuments(page, 150);
});

test("refusals that pass are not shown as refusals", async (t) => {
  const problem = (code) => ({ problem: { code, detail: code } });
  const answers = [
    () => ({ status: 429, headers: { "Retry-After": "1" }, json: { code: "rate_limited" } }),
    () => ({ status: 502, body: "Bad gateway" }),
    () => ({ status: 200, body: "<h1>Sign in to this network</h1>" }),
    (items) => ({ json: { items: items.map(() => problem("too_many_pending")) } }),
    (items) => ({
      json: { items: items.map((_, i) => problem(i % 2 ? "too_many_pending" : "quota_exceeded")) },
    }),
  ];
  const page = await open(t, {
    prepare: (context) =>
      context.route("**/upload-urls", (route) => {
        const answer = answers.shift();
        if (!answer) return route.continue();
        return route.fulfill(answer(route.request().postDataJSON().items));
      }),
  });
  await add(page, texts(8));
  await page.waitForFunction(() => uploads.value[0].state.value === "retrying");
  await ended(page);
  assert.deepEqual(await states(page), { "refused: quota_exceeded": 4, sent: 4 });
  await expectDocuments(page, 4);
});

test("an expired URL is replaced, and the document stays the same", async (t) => {
  const page = await open(t);
  let count = 0;
  storage.refuse = () => (++count <= 5 ? 403 : 0);
  await add(page, texts(8));
  await ended(page);
  assert.equal(counts(page).PUT, 13);
  await expectDocuments(page, 8);
});

test("a file that storage does not take holds up no other", async (t) => {
  const page = await open(t);
  storage.refuse = ({ headers }) => (headers["content-type"] === "text/csv" ? 502 : 0);
  await add(page, [{ name: "a.csv", type: "text/csv", content: "a" }, ...texts(60)]);
  await sent(page, 60);
  const [csv] = (await rows(page)).filter(({ name }) => name === "a.csv");
  assert.match(csv.state, /^(retrying|sending)$/);
  storage.refuse = () => 0;
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await ended(page);
  await expectDocuments(page, 61);
});

test("a file that storage does not take is sent again after pauses that grow", async (t) => {
  const page = await open(t);
  const begun = [];
  storage.refuse = () => {
    begun.push(performance.now());
    return 503;
  };
  await add(page, texts(1));
  await until("four attempts", () => begun.length >= 4);
  const pauses = begun.slice(1).map((time, n) => time - begun[n]);
  // A pause is half as long as it may be, or longer.
  const shortest = [500, 1000, 2000];
  for (const [n, least] of shortest.entries()) assert.ok(pauses[n] >= least, pauses.join());
  await until("the fourth answer", async () => (await states(page)).retrying === 1);
});

test("a file that storage refuses for good fails at once, and its document goes", async (t) => {
  const page = await open(t);
  storage.refuse = () => 413;
  await add(page, texts(1));
  await ended(page);
  assert.deepEqual(await states(page), { "failed: storage_refused": 1 });
  await until("the document to go", async () => (await page.user.documents()).length === 0);
  assert.equal(counts(page).PUT, 1);
});

test("what the server would refuse is refused without a request", async (t) => {
  const page = await open(t, { config: { max_document_bytes: 1000 } });
  const begin = page.requests.length;
  await add(page, [
    { name: "film.mp4", type: "video/mp4", content: "film" },
    { name: "large.txt", size: 1004 },
    { name: "..", content: "dots" },
    { name: "n".repeat(256), content: "long" },
  ]);
  const refused = await rows(page);
  assert.deepEqual(
    refused.map(({ state, code }) => [state, code]),
    [
      ["refused", "type_not_allowed"],
      ["refused", "too_large"],
      ["refused", "invalid"],
      ["refused", "invalid"],
    ],
  );
  assert.ok(refused[0].problem.allowed_types.includes("text/*"));
  assert.deepEqual(refused[1].problem, { size: 1004, limit: 1000 });
  await page.evaluate(() => uploads.value[0].dismiss());
  await page.waitForFunction(() => uploads.value.length === 3);
  const changing = Object.keys(counts(page, begin)).filter((key) => !key.startsWith("GET"));
  assert.deepEqual(changing, []);
});

test("names and types that the server would not take are made acceptable", async (t) => {
  const page = await open(t);
  await add(page, [
    { name: "a\u202efdp.b\n/c\\.md", type: "", content: "# Notes" },
    { name: "cafe\u0301.eml", type: "", content: "Subject: Bill" },
    { name: "bill.xml.p7m", type: "", content: "signed" },
    { name: "table.csv", type: "application/x-unknown", content: "a,b" },
    { name: "unknown", type: "", content: "?" },
    { name: "empty.txt", content: "" },
  ]);
  await ended(page);
  await expectDocuments(page, 6);
  const documents = await page.user.documents();
  const found = documents.map(({ filename, content_type }) => [filename, content_type]).sort();
  assert.deepEqual(found, [
    ["afdp.b__c_.md", "text/markdown"],
    ["bill.xml.p7m", "application/pkcs7-mime"],
    ["caf\u00e9.eml", "message/rfc822"],
    ["empty.txt", "text/plain"],
    ["table.csv", "text/csv"],
    ["unknown", "application/octet-stream"],
  ]);
});

test("a file for which no room is left is refused before it is sent", async (t) => {
  const page = await open(t, { quota: 10e6 });
  const large = (name, size) => ({ name, size });
  const first = await add(page, [large("a.txt", 6e6), large("b.txt", 6e6)]);
  assert.deepEqual(first, ["waiting", "refused"]);
  const second = await add(page, [large("c.txt", 5e6)]);
  assert.equal(second[0], "refused");
  await ended(page);
  const refused = { state: "refused", code: "quota_exceeded" };
  const shown = async () =>
    (await rows(page)).map(({ name, state, code, problem }) => ({
      ...{ name, state },
      ...(code && { code, left: problem.left }),
    }));
  assert.deepEqual(await shown(), [
    { name: "c.txt", ...refused, left: 4e6 },
    { name: "a.txt", state: "sent" },
    { name: "b.txt", ...refused, left: 4e6 },
  ]);
  assert.equal(counts(page).PUT, 1);
  await confirmed(page);
  // What the server has charged is not subtracted twice.
  await add(page, [large("d.txt", 4e6), large("e.txt", 4)]);
  await ended(page);
  assert.deepEqual((await shown()).slice(0, 2), [
    { name: "d.txt", state: "sent" },
    { name: "e.txt", ...refused, left: 0 },
  ]);
  // Nor is what was deleted.
  const { document } = (await rows(page))[0];
  await confirmed(page);
  await page.user.call("DELETE", `/api/documents/${document}`);
  await page.waitForFunction(() => user.value.quota.used_bytes === 6e6);
  await add(page, [large("f.txt", 4e6)]);
  await ended(page);
  assert.deepEqual((await shown())[0], { name: "f.txt", state: "sent" });
});

test("a file that changed or disappeared on disk fails, and its document goes", async (t) => {
  const page = await open(t);
  const folder = temporaryFolder(t);
  const files = texts(12).map(({ name, content }) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  });
  const release = responsesAfter(0);
  await page.getByLabel("Files").setInputFiles(files);
  appendFileSync(files[9], " and more");
  rmSync(files[10]);
  utimesSync(files[11], 1, 1);
  release();
  await ended(page);
  const codes = (await rows(page)).slice(9).map(({ state, code }) => [state, code]);
  for (const [state] of codes) assert.equal(state, "failed");
  for (const [, code] of codes) assert.match(code, /^file_(changed|unreadable)$/);
  await until("the documents to go", async () => (await page.user.documents()).length === 9);
  await expectDocuments(page, 9);
});

test("an empty file that disappeared on disk fails", async (t) => {
  let remove;
  const removed = new Promise((resolve) => (remove = resolve));
  const page = await open(t, {
    prepare: (context) =>
      context.route("**/upload-urls", async (route) => {
        await removed;
        await route.continue();
      }),
  });
  const file = join(temporaryFolder(t), "empty.txt");
  writeFileSync(file, "");
  await page.getByLabel("Files").setInputFiles(file);
  rmSync(file);
  remove();
  await ended(page);
  assert.deepEqual(await states(page), { "failed: file_unreadable": 1 });
  await until("the document to go", async () => (await page.user.documents()).length === 0);
  assert.deepEqual(await remembered(page), []);
});

test("a large file goes on after a pause and a reload with the missing parts", async (t) => {
  const page = await open(t, { config: { multipart_from_bytes: 20 * MiB } });
  const file = join(temporaryFolder(t), "scans.pdf");
  const content = randomBytes(60 * MiB);
  writeFileSync(file, content);
  storage.delay = 200;
  storage.refuse = () => (storage.begun > 6 ? 503 : 0);
  await page.getByLabel("Files").setInputFiles(file);
  await until("the third part", () => storage.begun >= 3);
  await page.evaluate(() => uploads.value[0].pause());
  await until("all uploads to stop", () => storage.inFlight === 0);
  const begun = storage.begun;
  await page.waitForTimeout(500);
  assert.equal(storage.begun, begun);
  await page.evaluate(() => uploads.value[0].resume());
  await page.waitForFunction(() => uploads.value[0].state.value === "retrying");

  await visit(page);
  await page.waitForFunction(() => interrupted.value.size === 1);
  const [[id, about]] = await page.evaluate(() => [...interrupted.value]);
  assert.deepEqual([about.name, about.size, about.multipart], ["scans.pdf", 60 * MiB, true]);
  const other = await page.evaluate((document) => resumeWith(document, new File(["x"], "x")), id);
  assert.equal(other, "other-file");
  const progress = await page.user.call("GET", `/api/documents/${id}/multipart-upload`);
  assert.ok(progress.parts.length > 0 && progress.parts.length < 8);
  storage.refuse = () => 0;
  const resumed = storage.begun;
  await page.getByLabel("Files").setInputFiles(file);
  await ended(page);
  assert.equal(storage.begun - resumed, 8 - progress.parts.length);
  await expectDocuments(page, 1);
  const digest = createHash("sha256").update(content).digest("hex");
  const { url } = await page.user.call("GET", `/api/documents/${id}/download-url`);
  const download = Buffer.from(await (await fetch(url)).arrayBuffer());
  assert.equal(createHash("sha256").update(download).digest("hex"), digest);
  assert.equal(await page.evaluate(() => interrupted.value.size), 0);
});

test("parts, their URLs and responses may be lost", async (t) => {
  let completed = 0;
  const page = await open(t, {
    config: { multipart_from_bytes: 20 * MiB },
    prepare: (context) =>
      context.route("**/complete", async (route) => {
        const problem = { status: 409, json: { code: "object_missing" } };
        if (++completed === 1) return route.fulfill(problem);
        if (completed > 2) return route.continue();
        const path = new URL(route.request().url()).pathname;
        await page.user.call("POST", path, {});
        return route.abort();
      }),
  });
  let count = 0;
  storage.refuse = () => [0, 0, 0, 502, 0, 0, 403][++count % 7];
  storage.lose = () => count % 5 === 0;
  await add(page, [
    { name: "a.pdf", type: "application/pdf", size: 50 * MiB },
    { name: "b.pdf", type: "application/pdf", size: 21 * MiB },
    ...texts(5),
  ]);
  await ended(page);
  assert.deepEqual(await states(page), { sent: 7 });
  await expectDocuments(page, 7);
});

test("a part that storage has is not sent again if its responses are lost", async (t) => {
  const page = await open(t, { config: { multipart_from_bytes: 20 * MiB } });
  storage.lose = ({ url }) => /partNumber=[13]&/.test(url);
  await add(page, [{ name: "a.pdf", type: "application/pdf", size: 30 * MiB }]);
  await ended(page);
  assert.deepEqual(await states(page), { sent: 1 });
  assert.equal(counts(page).PUT, 4);
  await expectDocuments(page, 1);
});

test("uploads that are cancelled leave no document", async (t) => {
  const page = await open(t, { config: { multipart_from_bytes: 20 * MiB } });
  const release = responsesAfter(10);
  await add(page, [{ name: "a.pdf", type: "application/pdf", size: 50 * MiB }, ...texts(120)]);
  await sent(page, 1);
  await page.waitForFunction(() => uploads.value[0].sent.value > 0);
  await page.evaluate(() => {
    const going = uploads.value.filter(({ state }) => state.value !== "sent");
    return Promise.all(going.slice(0, 80).map((upload) => upload.cancel()));
  });
  release();
  await ended(page);
  assert.ok((await rows(page)).every(({ state }) => state === "sent"));
  await expectDocuments(page, (await rows(page)).length);
});

test("an upload whose document is deleted elsewhere fails", async (t) => {
  const page = await open(t);
  storage.hold = () => true;
  await add(page, texts(1));
  await page.waitForFunction(() => uploads.value[0].documentId.value);
  const [{ document }] = await rows(page);
  await page.user.call("DELETE", `/api/documents/${document}`);
  await ended(page);
  assert.deepEqual(await states(page), { "failed: not_found": 1 });
});

test("small files go on under the same documents when they are added again", async (t) => {
  const page = await open(t);
  const release = responsesAfter(5);
  await add(page, texts(40));
  await sent(page, 5);
  await visit(page);
  release();
  await page.waitForFunction(() => interrupted.value.size > 0);
  const names = () => [...interrupted.value.values()].map(({ name }) => name);
  const missing = await page.evaluate(names);
  await add(page, texts(40).filter(({ name }) => missing.includes(name)));
  await ended(page);
  assert.deepEqual(await states(page), { sent: missing.length });
  await expectDocuments(page, 40);
});

test("interrupted uploads whose documents are deleted are forgotten", async (t) => {
  const page = await open(t);
  storage.hold = () => true;
  await add(page, texts(2));
  await page.waitForFunction(() => uploads.value.every(({ documentId }) => documentId.value));
  await visit(page);
  await page.waitForFunction(() => interrupted.value.size === 2);
  assert.equal((await remembered(page)).length, 2);
  const [{ id }] = await page.user.documents();
  await page.user.call("DELETE", `/api/documents/${id}`);
  await page.waitForFunction(() => interrupted.value.size === 1);
  assert.equal((await remembered(page)).length, 1);
});

test("uploads of another open tab are not interrupted, until it is closed", async (t) => {
  const page = await open(t);
  const other = await page.context().newPage();
  other.on("dialog", (dialog) => dialog.accept());
  await visit(other);
  storage.refuse = () => 503;
  await add(other, texts(3));
  await other.waitForFunction(() => uploads.value.every((upload) => upload.documentId.value));
  await visit(page);
  await page.waitForFunction(() => user.value);
  await page.waitForTimeout(500);
  assert.equal(await page.evaluate(() => interrupted.value.size), 0);
  await other.close();
  await page.waitForFunction(() => interrupted.value.size === 3);
});

test("uploads wait for the next sign-in, and are interrupted by signing out", async (t) => {
  const page = await open(t);
  storage.delay = 50;
  await add(page, texts(150));
  await sent(page, 10);
  await page.evaluate(() => endSession(true));
  await sent(page, 100);
  assert.deepEqual(await states(page), { sent: 100, retrying: 50 });
  await signIn(page);
  await ended(page);
  await expectDocuments(page, 150);

  const before = storage.begun;
  storage.hold = () => storage.begun > before + 5;
  await add(page, texts(50));
  await sent(page, 5);
  const kept = await remembered(page);
  assert.equal(kept.length, 45);
  await page.evaluate(() => signOut());
  assert.deepEqual(await rows(page), []);
  assert.deepEqual(await remembered(page), kept);
  await until("all uploads to stop", () => storage.inFlight === 0);
  storage.hold = () => false;
  // A new page, so that nothing of another user is left.
  const signedIn = async () => {
    await Promise.all([page.waitForEvent("load"), signIn(page).catch(() => undefined)]);
    await page.waitForFunction(() => document.title === "ready");
  };
  const { user } = page;
  page.user = await addUser();
  await signedIn();
  await add(page, texts(3));
  await ended(page);
  assert.equal(await page.evaluate(() => interrupted.value.size), 0);
  assert.equal((await page.user.documents()).length, 3);
  await page.evaluate(() => signOut());
  page.user = user;
  await signedIn();
  await page.waitForFunction(() => interrupted.value.size === 45);
  const missing = await page.evaluate(() => [...interrupted.value.values()].map((u) => u.name));
  await add(page, texts(50).filter(({ name }) => missing.includes(name)));
  await ended(page);
  assert.deepEqual(await states(page), { sent: 45 });
  await expectDocuments(page, 200);
});

test("records of interrupted uploads are forgotten after a day, whoever signs in", async (t) => {
  const page = await open(t);
  storage.hold = () => true;
  await add(page, texts(1));
  await page.waitForFunction(() => uploads.value[0].documentId.value);
  await page.evaluate(() => signOut());
  assert.equal((await remembered(page)).length, 1);
  await page.clock.setFixedTime(Date.now() + 25 * 3600_000);
  await visit(page);
  assert.deepEqual(await remembered(page), []);
});

test("a browser whose storage is full uploads all the same", async (t) => {
  const page = await open(t, {
    prepare: (context) =>
      context.addInitScript(() => {
        const { setItem } = Storage.prototype;
        Storage.prototype.setItem = function (name, value) {
          if (/upload/.test(name)) throw new DOMException("full", "QuotaExceededError");
          setItem.call(this, name, value);
        };
      }),
  });
  await add(page, texts(3));
  await ended(page);
  await expectDocuments(page, 3);
});

test("files are confirmed if storage's notifications do not arrive", async (t) => {
  const page = await open(t);
  process.kill(running.stack.pids.consume, "SIGSTOP");
  t.after(() => process.kill(running.stack.pids.consume, "SIGCONT"));
  await add(page, texts(3));
  await ended(page);
  assert.deepEqual(await states(page), { sent: 3 });
  await confirmed(page);
  assert.equal(counts(page)["POST documents/*/confirm"], 3);
});

test("the browser asks before a page is left that is sending", async (t) => {
  const page = await open(t);
  const files = page.getByLabel("Files");
  storage.hold = () => true;
  await files.focus();
  await page.keyboard.press("Tab"); // browsers ask only where the user has done something
  await add(page, texts(1));
  await page.waitForFunction(() => totals.value.active);
  await visit(page);
  assert.deepEqual(page.dialogs, ["beforeunload"]);
  await visit(page);
  assert.deepEqual(page.dialogs, ["beforeunload"]);
});
