// Writes the code blocks of the pages for front-end authors to the folder generated. A ts block
// begins with its filename in a comment; README.md has one bash block for curl and one js block.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const pages = ["README.md", "docs/api-client.md", "docs/api-uploads.md", "docs/api-origin.md"];
const want = [
  "changes.ts", "client.ts", "multipart.ts", "nginx.conf", "readme.bash", "readme.js", "uploads.ts",
  "uppy.ts",
];
const names = { bash: "readme.bash", js: "readme.js", nginx: "nginx.conf" };

const folder = new URL("generated/", import.meta.url);
mkdirSync(folder, { recursive: true });
const got = [];
for (const page of pages) {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
  for (const [, language, block] of text.matchAll(/^```(bash|js|ts|nginx)\n(.*?)^```$/gms)) {
    const name = names[language] ?? /^\/\/ (\w+\.ts)\n/.exec(block)?.[1];
    if (!name) throw new Error(`${page}: a block does not begin with its filename:\n${block}`);
    got.push(name);
    writeFileSync(new URL(name, folder), block);
  }
}
got.sort();
if (got.join() !== want.join()) throw new Error(`got the blocks ${got}, want ${want}`);
