//@ts-check
// Each attempt as a bar, and the steps of the chosen one below it, on one scale of time.
import { html } from "../lib/html.js";
import { duration, milliseconds } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { now } from "../lib/live.js";
import { lengthOf } from "../lib/logmodel.js";
import { Icon } from "./icon.js";
import { stepTone } from "./logline.js";
import { AttemptStatus, attemptTone } from "./status.js";

const LEAST_PERCENT = 0.6;

/** @typedef {import("../lib/logmodel.js").LogModel} LogModel */

/** @param {AttemptOut} attempt */
export const isLive = (attempt) => attempt.status === "offered" || attempt.status === "running";

/** When an attempt began and ended, ms; what runs ends now. @param {AttemptOut} attempt @param {number} nowMs @returns {[number, number]} */
function span(attempt, nowMs) {
  const start = Date.parse(attempt.started_at ?? attempt.created_at);
  const end = attempt.finished_at ? Date.parse(attempt.finished_at) : nowMs;
  return [start, Math.max(end, start + 1)];
}

/** @param {{from: number, to: number, tone: string, title: string, live?: boolean}} props shares of the track, 0 to 1 */
function Piece({ from, to, tone, title, live }) {
  const left = Math.max(0, Math.min(100 - LEAST_PERCENT, from * 100));
  const width = Math.max(LEAST_PERCENT, Math.min(100 - left, (to - from) * 100));
  return html`<span class=${live ? "gantt-piece live" : "gantt-piece"} data-tone=${tone} title=${title} style=${{ left: `${left}%`, width: `${width}%` }}></span>`;
}

/** @param {{attempt: AttemptOut, model: LogModel}} props */
function Steps({ attempt, model }) {
  const nowMs = isLive(attempt) ? now.value : 0;
  const [start, end] = span(attempt, nowMs);
  const whole = end - start;
  return html`<ol class="gantt-steps">${model.sections.map((section, at) => {
    const running = isLive(attempt) && section.status === "running" && at === model.sections.length - 1;
    const length = lengthOf(section, running, nowMs);
    const from = Math.max(0, section.startedAt - start) / whole;
    const tone = section.status === "running" && !running ? "mute" : stepTone(section.status);
    const name = named("step", section.step);
    return html`<li class="gantt-row" key=${at}>
      <a class="gantt-name ellipsis" href=${`#L${section.firstLine + 1}`} title=${name}>${name}</a>
      <span class="gantt-track"><${Piece} from=${from} to=${from + length / whole} tone=${tone} title=${`${name} · ${milliseconds(length)}`} live=${running} /></span>
      <span class="gantt-length">${milliseconds(length)}</span></li>`;
  })}</ol>`;
}

/** @param {{attempt: AttemptOut, chosen: boolean, onChoose: () => void, longest: number}} props */
function AttemptRow({ attempt, chosen, onChoose, longest }) {
  const nowMs = isLive(attempt) ? now.value : 0;
  const [start, end] = span(attempt, nowMs);
  const length = (end - start) / 1000;
  return html`<button type="button" class="gantt-attempt" aria-pressed=${chosen} onClick=${onChoose}>
    <span class="gantt-number">${t("attempt.number", { n: attempt.number })}</span>
    <${AttemptStatus} status=${attempt.status} />
    <span class="row-flex second gantt-node"><${Icon} name="nodes" /><span class="ellipsis">${attempt.node_name}</span></span>
    <span class="gantt-track"><${Piece} from=${0} to=${longest > 0 ? length / longest : 1} tone=${attemptTone(attempt.status)} title=${duration(length)} live=${attempt.status === "running"} /></span>
    <span class="gantt-length">${duration(length)}</span>
  </button>`;
}

/** @param {{attempt: AttemptOut}} props */
function Outcome({ attempt }) {
  const failed = attempt.error_message || attempt.failure_code;
  if (!failed && !attempt.summary && !attempt.adopted) return null;
  return html`<div class="gantt-outcome">
    ${failed && html`<div class="notice" data-tone=${attempt.status === "failed" ? "bad" : "warn"}><${Icon} name="warning" /><div>
      ${attempt.failure_code && html`<strong>${named("failure", attempt.failure_code)}</strong>`} ${attempt.error_message}</div></div>`}
    ${attempt.adopted && html`<p class="second">${t("attempt.adopted")}</p>`}
    ${attempt.summary && html`<p class="second summary" tabindex="0">${attempt.summary}</p>`}
  </div>`;
}

/** @param {{attempts: AttemptOut[], chosen: AttemptOut | undefined, onChoose: (number: number) => void, model: LogModel | undefined}} props */
export function Gantt({ attempts, chosen, onChoose, model }) {
  const anyLive = attempts.some(isLive);
  const nowMs = anyLive ? now.value : 0;
  const longest = Math.max(...attempts.map((each) => (span(each, nowMs)[1] - span(each, nowMs)[0]) / 1000), 0);
  return html`<section class="card gantt"><div class="card-head"><h2>${t("issue.attempts")}</h2><span class="quiet-text">${attempts.length || ""}</span></div>
    ${attempts.length === 0 && html`<p class="card-body quiet-text">${t("attempt.none")}</p>`}
    <ol>${[...attempts].reverse().map((attempt) => html`<li key=${attempt.id}>
      <${AttemptRow} attempt=${attempt} chosen=${attempt.id === chosen?.id} onChoose=${() => onChoose(attempt.number)} longest=${longest} />
      ${attempt.id === chosen?.id && html`<${Outcome} attempt=${attempt} />${model && model.sections.length > 0 && html`<${Steps} attempt=${attempt} model=${model} />`}`}
    </li>`)}</ol>
  </section>`;
}
