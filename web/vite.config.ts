import { defineConfig } from "vite";

import { compressed } from "./build/compress.mjs";

// The address of a running Intray, for `npm run dev`.
const api = process.env["INTRAY_API"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // The page is type-checked by `npm run check`; here JSX is only translated.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [compressed()],
  build: {
    // The first releases with light-dark(): style sheets are not rewritten for older browsers.
    target: "es2023",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    sourcemap: false,
    // The content security policy allows no data: URLs.
    assetsInlineLimit: 0,
    // What is loaded first is one file, which compresses better than the pieces that it shares with
    // views.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "first", tags: ["$initial"] }] } },
    },
    // Every browser that runs es2023 preloads modules.
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": api },
  },
});
