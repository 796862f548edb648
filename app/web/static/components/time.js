//@ts-check
// Times that tick. Each is a component of its own, so that a second redraws a word and not a table.
import { html } from "../lib/html.js";
import { ago, dateTime, duration } from "../lib/format.js";
import { now } from "../lib/live.js";

/** @param {{at: string | null | undefined}} props */
export function Ago({ at }) {
  if (!at) return html`<span class="quiet-text">–</span>`;
  return html`<time datetime=${at} title=${dateTime(at)}>${ago(at, now.value)}</time>`;
}

/** @param {{since: string}} props */
export function Elapsed({ since }) {
  return html`<time class="elapsed" datetime=${since} title=${dateTime(since)}>
    ${duration((now.value - Date.parse(since)) / 1000)}
  </time>`;
}

/** @param {{seconds: number, at: number}} props An age that was `seconds` at the moment `at` (ms). */
export function GrowingAge({ seconds, at }) {
  return html`<span>${duration(seconds + Math.max(0, now.value - at) / 1000)}</span>`;
}
