//@ts-check
// Numbers, times and sizes as people of the chosen language read them.
import { language, locale, t } from "./i18n.js";

/** @type {Map<string, any>} */
const made = new Map();

/**
 * @template T
 * @param {string} name
 * @param {(locale: string) => T} make
 * @returns {T}
 */
function cached(name, make) {
  const key = `${language.value} ${name}`;
  if (!made.has(key)) made.set(key, make(locale()));
  return made.get(key);
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options = {}) {
  return cached(JSON.stringify(options), (tag) => new Intl.NumberFormat(tag, options)).format(value);
}

/** @param {number} value */
export const compact = (value) =>
  value < 10_000 ? number(value) : number(value, { notation: "compact", maximumFractionDigits: 1 });

/** @param {number} usd */
export const cost = (usd) =>
  number(usd, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: usd < 1 ? 3 : 2 });

/** @param {number} value */
export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return number(value / 1000 ** step, {
    style: "unit",
    unit: units[step] ?? "byte",
    unitDisplay: "short",
    maximumFractionDigits: step > 1 ? 1 : 0,
  });
}

/**
 * A running length: 8s, 4m 05s, 2h 13m, 3d 4h.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [d, h, m, s] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  if (d) return t("unit.dh", { d, h });
  if (h) return t("unit.hm", { h, m: two(m) });
  if (m) return t("unit.ms", { m, s: two(s) });
  return t("unit.s", { s });
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms < 1000) return t("unit.milli", { ms: Math.round(ms) });
  return ms < 10_000 ? t("unit.s", { s: number(ms / 1000, { maximumFractionDigits: 1 }) }) : duration(ms / 1000);
}

const STEPS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
]);

/**
 * "3 minutes ago", "in 2 hours".
 * @param {string} stamp
 * @param {number} nowMs
 */
export function ago(stamp, nowMs) {
  const seconds = (Date.parse(stamp) - nowMs) / 1000;
  const form = cached("ago", (tag) => new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" }));
  if (Math.abs(seconds) < 5) return t("time.now");
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return form.format(Math.trunc(seconds / size), unit);
}

/** @param {string | number} stamp */
export const dateTime = (stamp) =>
  cached("dateTime", (tag) => new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "medium" })).format(new Date(stamp));

/** @param {string | number} stamp */
export const shortDateTime = (stamp) =>
  cached(
    "short",
    (tag) => new Intl.DateTimeFormat(tag, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }),
  ).format(new Date(stamp));

/** @param {string | number} stamp */
export const clock = (stamp) =>
  cached("clock", (tag) => new Intl.DateTimeFormat(tag, { timeStyle: "medium" })).format(new Date(stamp));

/** @param {string | number} stamp */
export const hourOf = (stamp) =>
  cached("hour", (tag) => new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit" })).format(new Date(stamp));

/** How people name an issue in talk: its number on the forge, or the start of its id. @param {{id: string, issue_number?: number | null}} issue */
export const issueName = (issue) => (issue.issue_number ? `#${issue.issue_number}` : issue.id.slice(-6));

/** @param {string | null | undefined} url */
export const shortRepository = (url) =>
  (url ?? "")
    .replace(/^(https?:\/\/|ssh:\/\/|file:\/\/)/, "")
    .replace(/^[^/@]+@/, "")
    .replace(/\.git$/, "")
    .split(/[/:]/)
    .filter(Boolean)
    .slice(-2)
    .join("/");
