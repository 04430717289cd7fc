// Many tabs of one browser: one session, one event stream, and the same documents in all of them.
import assert from "node:assert/strict";

import { addUser, dropFiles, openPage, scenario, signIn, startAPI, until } from "./harness.mjs";

// To run this for longer: TABS_TOKEN_TTL=15 TABS_SECONDS=120.
const lifetime = Number(process.env.TABS_TOKEN_TTL ?? 4); // seconds in which a token is valid
const duration = Number(process.env.TABS_SECONDS ?? 16); // seconds

const text = (name) => ({ name, type: "text/plain", content: Buffer.from(`zebra ${name}`) });
const sorted = (tab, name) =>
  tab.getByRole("row").filter({ hasText: name }).getByText("No topic fits").waitFor();

// Opens a context with the page, and watches all its tabs: how often tokens are requested, which
// tab reads the event stream, and what is written to a console as an error.
async function watched(t, url) {
  const page = await openPage(t, { url });
  const context = page.context();
  const seen = { refreshes: 0, streams: 0, open: new Map(), most: 0, requests: 0, errors: [] };
  const isStream = (request) => request.url().endsWith("/api/documents/events");
  context.on("request", (request) => {
    seen.requests++;
    if (request.url().endsWith("/api/auth/refresh")) seen.refreshes++;
    if (!isStream(request)) return;
    seen.streams++;
    seen.open.set(request, request.frame().page());
    seen.most = Math.max(seen.most, seen.open.size);
  });
  for (const end of ["requestfinished", "requestfailed"]) {
    context.on(end, (request) => seen.open.delete(request));
  }
  context.on("console", (message) => {
    if (message.type() === "error") seen.errors.push(message.text());
  });
  context.on("weberror", (error) => seen.errors.push(error.error().stack));
  return { page, context, seen };
}

const name = "8 tabs: one stream, one renewal for all, no missed change, one sign-out";
scenario(name, eightTabs, duration + 90);

async function eightTabs(t) {
  const user = await addUser();
  const url = await startAPI(t, { ACCESS_TOKEN_TTL: `${lifetime}s` });
  const { page, context, seen } = await watched(t, url);
  await signIn(page, user);
  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const others = await Promise.all(Array.from({ length: 7 }, () => context.newPage()));
  await Promise.all(others.map((tab) => tab.goto(url)));
  const tabs = [page, ...others];
  const shown = (name) => Promise.all(tabs.map((tab) => sorted(tab, name)));
  const choose = (tab) => tab.getByRole("button", { name: "Choose files" });
  await Promise.all(tabs.map((tab) => choose(tab).waitFor()));

  await dropFiles(tabs[3], [text("from-a-tab.txt")]);
  await shown("from-a-tab.txt");

  // Two tabs in turn that read the stream are closed while documents arrive.
  for (const round of [1, 2]) {
    const [stream] = await until("a stream", () => seen.open.size > 0 && [...seen.open.keys()]);
    const reader = seen.open.get(stream);
    const name = (n) => `round-${round}-${n}.txt`;
    const uploads = [1, 2, 3].map((n) => user.upload(text(name(n))));
    tabs.splice(tabs.indexOf(reader), 1);
    seen.open.delete(stream); // the browser does not report the end of a closed tab's requests
    await reader.close();
    await Promise.all(uploads);
    for (const n of [1, 2, 3]) await shown(name(n));
  }

  // Every tab sends a request when the token has just expired, and none is refused.
  await until("the time to pass", () => elapsed() >= duration, duration + 1);
  await Promise.all(
    tabs.map(async (tab) => {
      await tab.getByRole("link", { name: /^round-1-1/ }).click();
      await tab.getByRole("main").getByText("zebra round-1-1.txt").waitFor();
    }),
  );
  await user.upload(text("last.txt"));
  const intray = (tab) => tab.getByRole("navigation").getByRole("link", { name: "Intray" });
  await Promise.all(tabs.map((tab) => intray(tab).click()));
  await shown("last.txt");
  const seconds = elapsed();
  const { refreshes, streams, requests, most, errors } = seen;
  t.diagnostic(
    `${seconds.toFixed()} s, tokens of ${lifetime} s: ${requests} requests, ` +
      `${refreshes} renewals, ${streams} streams`,
  );
  assert.deepEqual(errors, []);
  assert.equal(most, 1, "streams at the same time");
  // A token is renewed after two thirds of its lifetime at the earliest, once for new tabs, and once
  // more for each of the two tabs that may have been closed while they renewed it.
  const possible = Math.ceil(seconds / (lifetime * (2 / 3))) + 1 + 2;
  assert.ok(refreshes <= possible, `${refreshes} renewals, at most ${possible} were necessary`);
  assert.ok(refreshes >= Math.floor(seconds / lifetime) - 1, `${refreshes} renewals`);

  await tabs[0].getByRole("link", { name: "Account" }).click();
  const end = performance.now();
  await tabs[0].getByRole("button", { name: "Sign out" }).click();
  const form = (tab) => tab.getByRole("heading", { name: "Sign in" });
  await Promise.all(tabs.map((tab) => form(tab).waitFor()));
  t.diagnostic(`signed out everywhere after ${((performance.now() - end) / 1000).toFixed(1)} s`);
  for (const tab of tabs) {
    assert.equal(await tab.getByRole("navigation").count(), 0, "nothing of the user is left");
  }
  await until("the stream to end", () => seen.open.size === 0);
  assert.deepEqual(errors, []);
}
