//@ts-check
// States have a shape, a colour and a word: none of them carries the meaning alone.
import { html } from "../lib/html.js";
import { number } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { Icon } from "./icon.js";

/** @type {Record<string, string>} */
const ISSUE_TONES = {
  pending: "waiting",
  processing: "running",
  pending_merge: "review",
  merged: "review",
  completed: "good",
  failed: "bad",
  cancelled: "mute",
};

/** @type {Record<string, string>} */
const ATTEMPT_TONES = {
  offered: "waiting",
  running: "running",
  succeeded: "good",
  failed: "bad",
  cancelled: "mute",
  lost: "warn",
};

/** @type {Record<string, string>} */
const NODE_TONES = { online: "good", busy: "running", draining: "warn", paused: "warn", offline: "mute" };

const DISC = html`<circle cx="8" cy="8" r="6.5" fill="currentColor" stroke="none" />`;
const RING = html`<circle cx="8" cy="8" r="5.6" />`;
/** @param {string} d */
const cut = (d) => html`<path d=${d} class="cut" />`;

/** @type {Record<string, () => any>} */
const SHAPES = {
  pending: () => html`<circle cx="8" cy="8" r="5.6" stroke-dasharray="2.2 2.2" />`,
  offered: () => html`<circle cx="8" cy="8" r="5.6" stroke-dasharray="2.2 2.2" />`,
  processing: () => [html`<circle cx="8" cy="8" r="5.6" opacity="0.28" />`, html`<path class="spin" d="M8 2.4A5.6 5.6 0 0 1 13.6 8" />`],
  pending_merge: () => [RING, html`<path d="M8 4.2a3.8 3.8 0 0 1 0 7.6z" fill="currentColor" stroke="none" />`],
  merged: () => [DISC, cut("M5.7 5v6M5.7 5.4c.5 2 1.9 3 4.6 3")],
  completed: () => [DISC, cut("M5.2 8.3l2 2 3.8-4.4")],
  failed: () => [DISC, cut("M5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2")],
  cancelled: () => [RING, html`<path d="M4.4 11.6l7.2-7.2" />`],
  lost: () => [RING, html`<path d="M8 5v3.4M8 10.8h.01" />`],
};
SHAPES["running"] = /** @type {() => any} */ (SHAPES["processing"]);
SHAPES["succeeded"] = /** @type {() => any} */ (SHAPES["completed"]);

/** @param {string} status */
export const issueTone = (status) => ISSUE_TONES[status] ?? "mute";
/** @param {string} status */
export const attemptTone = (status) => ATTEMPT_TONES[status] ?? "mute";

/** @param {{status: string}} props */
export function StatusIcon({ status }) {
  const shape = SHAPES[status] ?? SHAPES["pending"];
  return html`<svg class="i state" viewBox="0 0 16 16" aria-hidden="true">${shape?.()}</svg>`;
}

/** @param {{status: string, compact?: boolean}} props `compact`: the word is only spoken. */
export function IssueStatus({ status, compact = false }) {
  const word = named("status", status);
  return html`<span class="status" data-tone=${issueTone(status)} data-status=${status} title=${compact ? word : null}>
    <${StatusIcon} status=${status} />
    <span class=${compact ? "sr-only" : ""}>${word}</span>
  </span>`;
}

/** @param {{status: string}} props */
export function IssuePill({ status }) {
  return html`<span class="pill" data-tone=${issueTone(status)} data-status=${status}>
    <${StatusIcon} status=${status} />${named("status", status)}
  </span>`;
}

/** @param {{status: string}} props */
export function AttemptStatus({ status }) {
  return html`<span class="status" data-tone=${attemptTone(status)}>
    <${StatusIcon} status=${status} />${named("attempt", status)}
  </span>`;
}

/** @param {{value: number}} props */
export function Priority({ value }) {
  return html`<span class="priority" title=${t("field.priority")}><${Icon} name=${value > 0 ? "up" : "less"} />${number(Math.abs(value))}</span>`;
}

/**
 * One word for what a node is up to: what operators asked for wins over idle and busy.
 * @param {NodeOut} node
 */
export function nodeState(node) {
  if (node.status !== "online") return "offline";
  if (node.desired !== "active") return node.desired;
  return node.running > 0 ? "busy" : "online";
}

/** @param {string} state */
export const nodeTone = (state) => NODE_TONES[state] ?? "mute";

/** @param {{node: NodeOut}} props */
export function NodeState({ node }) {
  const state = nodeState(node);
  return html`<span class="status" data-tone=${nodeTone(state)} data-status=${state}>
    <span class=${state === "offline" ? "dot" : "dot beat"}></span>${named("node", state === "online" ? "idle" : state)}
  </span>`;
}
