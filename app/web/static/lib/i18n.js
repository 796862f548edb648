//@ts-check
// Words in the reader's language. A missing translation is a type error, see frontend/tsconfig.json.
import { effect, signal } from "../vendor/signals.js";
import { recall, remember } from "./prefs.js";
import { en } from "../i18n/en.js";

/** @typedef {keyof typeof en} Word */
/** @typedef {"en" | "zh"} Language */

export const LANGUAGES = /** @type {{code: Language, name: string}[]} */ ([
  { code: "en", name: "English" },
  { code: "zh", name: "中文" },
]);

function preferred() {
  const chosen = recall("language") ?? navigator.language;
  return /** @type {Language} */ (chosen.toLowerCase().startsWith("zh") ? "zh" : "en");
}

/** @type {Record<Language, Record<Word, string> | null>} */
const words = { en, zh: null };
/** What a refusal of the API means, by its code, where the server's own English is not the reader's language. */
const refusals = /** @type {Record<Language, Record<string, string>>} */ ({ en: {}, zh: {} });
export const language = signal(/** @type {Language} */ ("en"));

/** @param {Language} code */
async function use(code) {
  if (!words[code]) {
    const loaded = await import(`../i18n/${code}.js`);
    words[code] = loaded[code];
    refusals[code] = loaded.refusals;
  }
  language.value = code;
}

/** Before the first view, so that it is never shown in another language first. */
export const loadLanguage = () => use(preferred());

/** @param {Language} code */
export async function setLanguage(code) {
  remember("language", code);
  await use(code);
}

effect(() => {
  document.documentElement.lang = language.value === "zh" ? "zh-Hans" : "en";
});

/** For `Intl`: the region of the browser where it speaks the same language. */
export function locale() {
  const code = language.value;
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(code)) ?? (code === "zh" ? "zh-CN" : "en-GB");
}

/**
 * `{name}` in the text is replaced; "one|many" is chosen by `n`.
 * @param {Word} word
 * @param {Record<string, string | number>} [values]
 */
export function t(word, values) {
  const text = (words[language.value] ?? en)[word] ?? en[word];
  if (!values) return text;
  const forms = text.split("|");
  const form = forms.length > 1 && values["n"] !== 1 && values["n"] !== "1" ? forms[1] : forms[0];
  return (form ?? text).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * The word for a value of the API, such as a status; the value itself when there is none.
 * @param {string} family
 * @param {string | null | undefined} value
 */
export function named(family, value) {
  const key = /** @type {Word} */ (`${family}.${value}`);
  return key in en ? t(key) : (value ?? "");
}

/** @param {string} code @returns {string | undefined} undefined where the server's own sentence is to be shown */
export const refusal = (code) => refusals[language.value][code];
