//@ts-check
import { signal } from "../vendor/signals.js";
import { html } from "../lib/html.js";
import { ApiError } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { Icon } from "./icon.js";

const SHOWN_MS = { good: 3500, bad: 9000 };
const MOST = 4;

/** @typedef {{id: number, tone: "good" | "bad", text: string}} Toast */

const toasts = signal(/** @type {Toast[]} */ ([]));
let last = 0;

/** @param {"good" | "bad"} tone @param {string} text */
function show(tone, text) {
  last += 1;
  const id = last;
  toasts.value = [...toasts.value.slice(1 - MOST), { id, tone, text }];
  setTimeout(() => dismiss(id), SHOWN_MS[tone]);
}

/** @param {number} id */
function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** @param {string} text */
export const say = (text) => show("good", text);

/** What an error tells a person: the server's own sentence wherever there is one. @param {unknown} problem */
export function sentence(problem) {
  if (problem instanceof ApiError) {
    if (problem.code === "network") return t("error.network");
    const fields = problem.errors.map((error) => error.message).filter((message) => message !== problem.message);
    return [problem.message, ...fields].filter(Boolean).join(" ") || t("error.unknown");
  }
  return problem instanceof Error ? problem.message : String(problem);
}

/** @param {unknown} problem */
export const complain = (problem) => show("bad", sentence(problem));

/**
 * Shows the change at once and takes it back when the server refuses, with the server's sentence.
 * @template T
 * @param {{now?: () => void, undo?: () => void, send: () => Promise<T>, done?: string}} action
 * @returns {Promise<T | undefined>} undefined when it was refused
 */
export async function act({ now, undo, send, done }) {
  now?.();
  try {
    const answer = await send();
    if (done) say(done);
    return answer;
  } catch (problem) {
    undo?.();
    complain(problem);
    return undefined;
  }
}

export function Toasts() {
  return html`<div class="toasts" role="region" aria-live="polite" aria-label=${t("toast.region")}>
    ${toasts.value.map(
      ({ id, tone, text }) => html`<div class="toast" data-tone=${tone} key=${id} role=${tone === "bad" ? "alert" : "status"}>
        <${Icon} name=${tone === "good" ? "check" : "warning"} />
        <div>${text}</div>
        <button class="button quiet small icon" onClick=${() => dismiss(id)} aria-label=${t("action.dismiss")}><${Icon} name="close" /></button>
      </div>`,
    )}
  </div>`;
}
