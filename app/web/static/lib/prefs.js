//@ts-check
// What this browser remembers: language, scheme, line wrap.
import { signal } from "../vendor/signals.js";

/** @param {string} name */
export function recall(name) {
  try {
    return localStorage.getItem(`nodeyard.${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string | null} value */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`nodeyard.${name}`);
    else localStorage.setItem(`nodeyard.${name}`, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the tab.
  }
}

/** @typedef {"system" | "light" | "dark"} Theme */

const stored = recall("theme");
export const theme = signal(/** @type {Theme} */ (stored === "light" || stored === "dark" ? stored : "system"));

/** @param {Theme} chosen */
export function setTheme(chosen) {
  theme.value = chosen;
  remember("theme", chosen === "system" ? null : chosen);
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}

export const wrapLines = signal(recall("wrap") !== "off");

/** @param {boolean} on */
export function setWrapLines(on) {
  wrapLines.value = on;
  remember("wrap", on ? "on" : "off");
}
