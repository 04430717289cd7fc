// Checks that dist is what the source builds to, and that the first load stays within its budget.
// Usage: node build/verify.mjs FRESH, where FRESH is a folder with a new build.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";

import { filesIn } from "./compress.mjs";

const dist = new URL("../dist", import.meta.url).pathname;
const [, , fresh] = process.argv;

// Compressed files are compared by their content, because versions of zlib compress differently.
const decompress = { br: brotliDecompressSync, gz: gunzipSync };
const content = (folder, name) => {
  const bytes = readFileSync(join(folder, name));
  return decompress[name.split(".").at(-1)]?.(bytes) ?? bytes;
};

const outdated = "web/dist is out of date: run npm run build in web and commit the result";
assert.deepEqual(filesIn(dist), filesIn(fresh), outdated);
for (const name of filesIn(fresh)) {
  assert.ok(content(dist, name).equals(content(fresh, name)), `${outdated} (${name})`);
}

// What index.html references. Vite names every module that those scripts import statically.
const html = readFileSync(join(dist, "index.html"), "utf8");
const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((m) => m[1]);
const budgets = { js: 45_000, css: 10_000 };
for (const [extension, budget] of Object.entries(budgets)) {
  const files = first.filter((name) => name.endsWith(`.${extension}`));
  assert.ok(files.length > 0, `index.html references no .${extension} file`);
  const size = files.reduce((sum, name) => {
    return sum + gzipSync(readFileSync(join(dist, name)), { level: 9 }).length;
  }, 0);
  console.log(`first load: ${size} bytes of ${extension}, gzipped; at most ${budget}`);
  assert.ok(size <= budget, `the first load has ${size} bytes of ${extension}`);
}
// Texts of views are loaded with them, so what is loaded first must not use them.
const texts = readFileSync(join(dist, "../src/i18n/en-views.ts"), "utf8");
const script = first
  .filter((name) => name.endsWith(".js"))
  .map((name) => readFileSync(join(dist, name), "utf8"))
  .join();
for (const [, key] of texts.matchAll(/^ {2}"(\w+\.[\w.]+)":/gm)) {
  const used = ["`", '"', "'"].some((quote) => script.includes(quote + key + quote));
  assert.ok(!used, `${key} is used at first, so its text must be in en.ts`);
}
const inline = /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/;
assert.doesNotMatch(html, inline, "the content security policy forbids inline code");
