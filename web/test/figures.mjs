// Measures the page on a running system, as its user sees it: `npm run figures`. The figures depend
// on the machine and its load, so nothing is asserted.
import { texts } from "./files.mjs";
import {
  addUser,
  dropFiles,
  fill,
  openPage,
  running,
  scenario,
  signIn,
  until,
} from "./harness.mjs";

const single = 20; // files that are dropped one at a time
const many = 200; // files that are dropped at once
const listed = 10_000; // documents of a list that is scrolled through

const rounded = (milliseconds) => Math.round(milliseconds);

function summary(figures) {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share) => rounded(sorted[Math.floor((sorted.length - 1) * share)]);
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms`;
}

// Waits until consumers have handled as many documents of the user, and returns them.
const handled = (user, count) =>
  until(`${count} documents to be handled`, async () => {
    const documents = await user.documents();
    const done = documents.filter(({ classified_at: at }) => at !== null);
    return done.length === count && done;
  });

scenario("figures", async (t) => {
  const user = await addUser();
  await user.call("POST", "/api/topics", { name: "Invoices", keywords: ["invoice", "payment"] });

  // From the request for the page until its form can be used, and, signed in, its list.
  const loads = { "the form": [], "the list": [] };
  for (let n = 0; n < 5; n++) {
    const page = await openPage(t, { url: "about:blank" });
    const load = async (what, ready) => {
      const begin = performance.now();
      await page.goto(running.stack.web, { waitUntil: "commit" });
      await ready.waitFor();
      loads[what].push(performance.now() - begin);
    };
    await load("the form", page.getByRole("button", { name: "Sign in", exact: true }));
    await signIn(page, user);
    await load("the list", page.getByRole("button", { name: "Choose files" }).first());
    await page.context().close();
  }
  for (const [what, figures] of Object.entries(loads)) {
    t.diagnostic(`first load until ${what} can be used: ${summary(figures)}`);
  }

  const page = await openPage(t, { viewport: { width: 1280, height: 1400 } });
  await signIn(page, user);
  await page.evaluate(() => {
    window.stored = []; // when each PUT was answered
    window.tasks = []; // the durations of tasks of more than 50 ms
    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (...request) {
      this.addEventListener("loadend", () => window.stored.push(Date.now()));
      open.apply(this, request);
    };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.tasks.push(duration);
    }).observe({ type: "longtask" });
  });

  // From the response to a PUT until the topic is in the file's row, and in the database.
  const seen = [];
  const classified = [];
  for (const [n, file] of texts(single).entries()) {
    const shown = page.evaluate(
      (name) =>
        new Promise((resolve) => {
          const isShown = () => {
            const row = [...document.querySelectorAll("[role=row]")].find(({ textContent: text }) =>
              text.includes(name),
            );
            return row?.textContent.includes("Invoices");
          };
          const observer = new MutationObserver(() => {
            if (!isShown()) return;
            observer.disconnect();
            requestAnimationFrame(() => resolve(Date.now()));
          });
          observer.observe(document.body, { subtree: true, childList: true, characterData: true });
        }),
      file.name,
    );
    await dropFiles(page, [file]);
    const at = await shown;
    const stored = await page.evaluate(() => window.stored.at(-1));
    const documents = await handled(user, n + 1);
    const { classified_at: done } = documents.find(({ filename }) => filename === file.name);
    seen.push(at - stored);
    classified.push(Date.parse(done) - stored);
  }
  t.diagnostic(`one file, PUT response to the topic in its row: ${summary(seen)}`);
  t.diagnostic(`the same, to classified_at: ${summary(classified)}`);

  await page.evaluate(() => (window.tasks = []));
  const begin = performance.now();
  const files = texts(many).map((file) => ({ ...file, name: `many-${file.name}` }));
  await dropFiles(page, files);
  const all = new RegExp(`\\b(${many}|${many + single}) of \\1 sorted`);
  await page.getByRole("status").getByText(all).waitFor();
  t.diagnostic(`${many} files, drop to all sorted: ${rounded(performance.now() - begin)} ms`);
  const tasks = await page.evaluate(() => window.tasks);
  t.diagnostic(
    `meanwhile ${tasks.length} tasks of the page over 50 ms, the longest ` +
      `${rounded(Math.max(0, ...tasks))} ms`,
  );
});

scenario("figures of a long list", async (t) => {
  const user = await addUser();
  await fill(user, listed);
  const page = await openPage(t, { viewport: { width: 1280, height: 800 } });
  await signIn(page, user);
  await page.getByRole("row").first().waitFor();
  await page.evaluate(() => {
    window.tasks = []; // the durations of tasks of more than 50 ms
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.tasks.push(duration);
    }).observe({ type: "longtask" });
  });
  // Scrolls by so many pixels a frame until there is nothing more, and reports the frames.
  const scrollThrough = async (step) => {
    const { frames, tasks, rows } = await page.evaluate(async (step) => {
      window.tasks = [];
      const frame = () => new Promise(requestAnimationFrame);
      const isWhole = () => document.querySelector("[role=grid]").ariaRowCount !== "-1";
      const frames = [];
      let rows = 0;
      for (let before = await frame(); frames.length < 2000; ) {
        scrollBy(0, step);
        const now = await frame();
        frames.push(now - before);
        before = now;
        rows = Math.max(rows, document.querySelectorAll("[role=row]").length);
        const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 1;
        if (step < 0 ? scrollY === 0 : atEnd && isWhole()) break;
      }
      return { frames, tasks: window.tasks, rows };
    }, step);
    const late = frames.filter((each) => each > 34).length;
    t.diagnostic(
      `${listed} documents, ${step} pixels a frame: ${frames.length} frames, ${summary(frames)}, ` +
        `${late} longer than 34 ms, the longest ${rounded(Math.max(...frames))} ms`,
    );
    t.diagnostic(
      `meanwhile ${tasks.length} tasks over 50 ms, the longest ` +
        `${rounded(Math.max(0, ...tasks))} ms; at most ${rows} rows in the document`,
    );
  };
  await scrollThrough(1000); // faster than people read, while the pages are loaded
  await scrollThrough(-200); // as fast as a wheel that is turned fast
}, 600);
