//@ts-check
import { signal } from "../vendor/signals.js";
import { html } from "../lib/html.js";
import { ApiError } from "../lib/api.js";
import { refusal, t } from "../lib/i18n.js";
import { Icon } from "./icon.js";

const SHOWN_MS = { good: 3500, bad: 9000 };
const MOST = 4;

/** `detail`: the server's own words, where `text` is not. @typedef {{text: string, detail?: string}} Words */
/** @typedef {Words & {id: number, tone: "good" | "bad"}} Toast */

const toasts = signal(/** @type {Toast[]} */ ([]));
let last = 0;

/** @param {"good" | "bad"} tone @param {Words} words */
function show(tone, words) {
  last += 1;
  const id = last;
  toasts.value = [...toasts.value.slice(1 - MOST), { id, tone, ...words }];
  setTimeout(() => dismiss(id), SHOWN_MS[tone]);
}

/** @param {number} id */
function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** @param {string} text */
export const say = (text) => show("good", { text });

/** What an error tells a person: the code's meaning in their language, and the server's own sentence. @param {unknown} problem @returns {Words} */
function wordsOf(problem) {
  if (!(problem instanceof ApiError)) return { text: problem instanceof Error ? problem.message : String(problem) };
  if (problem.code === "network") return { text: t("error.network") };
  const fields = problem.errors.map((error) => error.message).filter((message) => message !== problem.message);
  const told = [problem.message, ...fields].filter(Boolean).join(" ");
  const meaning = refusal(problem.code);
  return meaning ? { text: meaning, detail: told } : { text: told || t("error.unknown") };
}

/** @param {unknown} problem */
export const complain = (problem) => show("bad", wordsOf(problem));

/** @param {Words} words */
const spoken = ({ text, detail }) => html`<span>${text}${detail && html` <small class="told" lang="en">${detail}</small>`}</span>`;

/** @param {{problem: unknown}} props */
export const Told = ({ problem }) => spoken(wordsOf(problem));

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
      ({ id, tone, text, detail }) => html`<div class="toast" data-tone=${tone} key=${id} role=${tone === "bad" ? "alert" : "status"}>
        <${Icon} name=${tone === "good" ? "check" : "warning"} />
        <div>${spoken(detail ? { text, detail } : { text })}</div>
        <button class="button quiet small icon" onClick=${() => dismiss(id)} aria-label=${t("action.dismiss")}><${Icon} name="close" /></button>
      </div>`,
    )}
  </div>`;
}
