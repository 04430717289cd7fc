// The texts of all languages have the placeholders of the English ones, and each plural form that
// their language needs. That no key lacks a text is checked by the types.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import ts from "typescript";

/** Returns all texts of a language. */
async function load(language) {
  const [{ en, messages = en }, { views }] = await Promise.all(
    [language, `${language}-views`].map(exportsOf),
  );
  return { ...messages, ...views };
}

/** Returns what a module of src/i18n exports. */
async function exportsOf(name) {
  const source = await readFile(new URL(`../src/i18n/${name}.ts`, import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

const formsOf = (text) => (typeof text === "string" ? { other: text } : text);
const placeholdersOf = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

const en = await load("en");

for (const language of ["en", "de", "ar"]) {
  const texts = await load(language);
  const categories = new Intl.PluralRules(language).resolvedOptions().pluralCategories;

  test(`${language}: placeholders`, () => {
    for (const [key, text] of Object.entries(texts)) {
      const expected = placeholdersOf(formsOf(en[key]).other);
      for (const [form, written] of Object.entries(formsOf(text))) {
        const found = placeholdersOf(written);
        // A form for one number may name it in words.
        const spelled = ["zero", "one", "two"].includes(form) && !found.includes("n");
        const wanted = spelled ? expected.filter((name) => name !== "n") : expected;
        assert.deepEqual(found, wanted, `placeholders of ${key}, ${form}`);
      }
    }
  });

  test(`${language}: plural forms`, () => {
    for (const [key, text] of Object.entries(texts)) {
      if (typeof en[key] === "string" && typeof text === "string") continue;
      assert.deepEqual(
        Object.keys(formsOf(text)).sort(),
        categories.toSorted(),
        `plural forms of ${key}`,
      );
    }
  });
}
