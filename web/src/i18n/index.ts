// The texts of the page in the reader's language, and numbers, sizes and dates as it writes them.
import { signal } from "@preact/signals";
import { read, write } from "../storage.js";
import { en } from "./en.js";
import type { views as enViews } from "./en-views.js";

/** A text; or one for each plural category (Intl.PluralRules) of the value `n`. */
export type Text = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);
export type Key = keyof typeof en | keyof typeof enViews;
export type Messages = Record<keyof typeof en, Text>;
/** The texts of the views that are loaded when they are shown, and then with them. */
export type ViewMessages = Record<keyof typeof enViews, Text>;

export const languages = {
  en: {
    name: "English",
    direction: "ltr",
    load: async () => ({ messages: en as Messages }),
    loadViews: (): Promise<{ views: ViewMessages }> => import("./en-views.js"),
  },
  de: {
    name: "Deutsch",
    direction: "ltr",
    load: () => import("./de.js"),
    loadViews: () => import("./de-views.js"),
  },
  ar: {
    name: "العربية",
    direction: "rtl",
    load: () => import("./ar.js"),
    loadViews: () => import("./ar-views.js"),
  },
} as const;
export type Language = keyof typeof languages;

const isLanguage = (text: string): text is Language => text in languages;

/** The language of the page. */
export const language = signal<Language>("en");
// The messages change together with the language. Those of views are there before a view is shown.
const messages = signal({ ...en } as Messages & ViewMessages);
let locale = "en";
let viewsShown = false; // whether a view is shown that needs its texts, or is going to be
let viewsLanguage: Language | undefined; // the language of their texts

const chosen = "intray-language";

/** Uses the language that the user chose, or the browser's. */
export async function startLanguage(): Promise<void> {
  const wanted = [read(chosen) ?? "", ...navigator.languages];
  const found = wanted.find((tag) => isLanguage(tag.split("-")[0]!));
  // Where the texts cannot be loaded, the page is in English.
  if (found) await use(found).catch(() => undefined);
}

/** Uses a language, also at the next visit. */
export async function chooseLanguage(next: Language): Promise<void> {
  write(chosen, next);
  await use(next);
}

async function use(tag: string): Promise<void> {
  const next = tag.split("-")[0] as Language;
  const { load, loadViews, direction } = languages[next];
  const { messages: first } = await load();
  const views = viewsShown ? (await loadViews()).views : undefined;
  locale = tag; // such as de-AT, which may write numbers in another way than de
  messages.value = { ...first, ...views } as Messages & ViewMessages;
  language.value = next;
  viewsLanguage = views && next;
  document.documentElement.lang = tag;
  document.documentElement.dir = direction;
}

/** Loads the texts of the views that are loaded when they are shown. */
export async function loadViewTexts(): Promise<void> {
  viewsShown = true;
  while (viewsLanguage !== language.peek()) {
    const next = language.peek();
    const { views } = await languages[next].loadViews();
    if (next !== language.peek() || viewsLanguage === next) continue; // changed meanwhile
    messages.value = { ...messages.peek(), ...views };
    viewsLanguage = next;
  }
}

/**
 * Returns a text in the reader's language. Each `{name}` in it becomes the value of that name; a
 * number is written as in the language.
 */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  let text = messages.value[key];
  if (typeof text === "object") {
    text = text[plurals().select(Number(values["n"]))] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : isolated(value ?? "");
  });
}

// Characters that are written in the other direction than the page's texts, or change it.
const foreign = {
  ltr: /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\u202a-\u202e]/u,
  rtl: /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\u202a-\u202e]/u,
};

/** Returns a value whose direction does not change that of the text which it is put into. */
const isolated = (value: string): string =>
  foreign[languages[language.value].direction].test(value) ? `\u2068${value}\u2069` : value;

/** Returns the text of a key that is made of parts, such as a code of the API, or of a fallback. */
export function tOr(key: string, fallback: Key, values?: Record<string, string | number>): string {
  return t(key in messages.value ? (key as Key) : fallback, values);
}

function cached<T>(make: (locale: string) => T): () => T {
  let of = "";
  let value: T;
  return () => {
    void messages.value; // the reader of this signal is drawn again when the language changes
    if (of !== locale) value = make((of = locale));
    return value;
  };
}

const plurals = cached((locale) => new Intl.PluralRules(locale));
const numbers = cached((locale) => new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }));
const percents = cached((locale) => new Intl.NumberFormat(locale, { style: "percent" }));
const days = cached((locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium" }));
const times = cached((locale) => new Intl.DateTimeFormat(locale, { timeStyle: "short" }));
const moments = cached(
  (locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }),
);
const units = cached((locale) =>
  (["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const).map(
    (unit) =>
      new Intl.NumberFormat(locale, {
        style: "unit",
        unit,
        unitDisplay: unit === "byte" ? "long" : "short",
        maximumFractionDigits: 1,
      }),
  ),
);

export const number = (n: number): string => numbers().format(n);

/** Writes a share from 0 to 1. */
export const percent = (share: number): string => percents().format(share);

/** How many bytes a kB has, kB an MB, and so on: as in file managers and the server's limits. */
export const kilo = 1024;

/** Writes a number of bytes in the unit that fits it. */
export function bytes(n: number): string {
  let power = 0;
  // What is rounded to 1,024 is one of the next unit.
  while (power < 4 && n / kilo ** power >= (power ? kilo - 0.05 : kilo)) power++;
  return units()[power]!.format(n / kilo ** power);
}

/** Returns the name of the unit of `kilo` to the power of bytes, such as GB for 3. */
export const unitName = (power: number): string =>
  units()[power]!.formatToParts(1).find(({ type }) => type === "unit")!.value;

/** Writes today's times as a time and others as a date. */
export function when(time: string): string {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return (today ? times() : days()).format(date);
}

/** Writes a date. */
export const day = (time: string): string => days().format(new Date(time));

/** Writes a date with its time. */
export const moment = (time: string): string => moments().format(new Date(time));

/** Compares two names as the language sorts them. */
export const compare = cached((locale) => new Intl.Collator(locale, { numeric: true }).compare);
