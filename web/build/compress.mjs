// Compresses the built files with Brotli and gzip. web.go serves the compressed files.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

// Pictures and fonts are compressed already.
const compressible = /\.(css|html|ico|js|json|svg|txt|webmanifest)$/;

// The paths of all files below a folder, relative to it.
export function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .sort();
}

// The Vite plugin.
export function compressed() {
  let folder;
  return {
    name: "compressed",
    apply: "build",
    configResolved({ root, build }) {
      folder = resolve(root, build.outDir);
    },
    closeBundle() {
      for (const name of filesIn(folder).filter((file) => compressible.test(file))) {
        const plain = readFileSync(join(folder, name));
        const variants = { br: brotliCompressSync(plain), gz: gzipSync(plain, { level: 9 }) };
        for (const [extension, content] of Object.entries(variants)) {
          if (content.length < plain.length) {
            writeFileSync(join(folder, `${name}.${extension}`), content);
          }
        }
      }
    },
  };
}
