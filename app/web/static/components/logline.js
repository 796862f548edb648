//@ts-check
// One row of a log: the head of a step, or a line of it.
import { memo } from "../lib/memo.js";
import { html } from "../lib/html.js";
import { milliseconds } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { now } from "../lib/live.js";
import { lengthOf } from "../lib/logmodel.js";
import { Icon } from "./icon.js";
import { StatusIcon } from "./status.js";

/** @type {Record<string, string>} */
const TONES = { running: "running", success: "good", failed: "bad" };
/** @type {Record<string, string>} */
const SHAPES = { running: "processing", success: "completed", failed: "failed" };

/** @param {string} status */
export const stepTone = (status) => TONES[status] ?? "mute";

/** @param {{section: import("../lib/logmodel.js").Section, running: boolean}} props */
export function StepLength({ section, running }) {
  return html`<span class="step-length">${milliseconds(lengthOf(section, running, running ? now.value : 0))}</span>`;
}

/** @param {{section: import("../lib/logmodel.js").Section, running: boolean, onToggle: () => void}} props */
export function StepHead({ section, running, onToggle }) {
  // A step whose attempt has ended runs no more, whatever its last entry says.
  const status = section.status === "running" && !running ? "" : section.status;
  return html`<div class="log-head" data-tone=${stepTone(status)}>
    <button type="button" aria-expanded=${!section.folded} onClick=${onToggle}>
      <span class="log-caret" data-folded=${section.folded}><${Icon} name="down" /></span>
      <span class="tone"><${StatusIcon} status=${SHAPES[status] ?? "cancelled"} /></span>
      <span class="log-step">${named("step", section.step)}</span>
      <span class="quiet-text">${t("log.lines", { n: section.lastLine - section.firstLine })}</span>
      <${StepLength} section=${section} running=${running} />
    </button>
  </div>`;
}

/** @param {{line: number, kind: string, pieces: import("../lib/ansi.js").Piece[], linked: boolean, current: boolean, onLink: (event: MouseEvent) => void}} props */
function Row({ line, kind, pieces, linked, current, onLink }) {
  return html`<div class="log-line" data-kind=${kind} data-line=${line + 1} data-linked=${linked} data-current=${current}>
    <a class="log-number" href=${`#L${line + 1}`} onClick=${onLink} tabindex="-1" aria-label=${t("log.link", { n: line + 1 })} data-number=${line + 1}></a>
    <span class="log-text">${pieces.map((piece) =>
      piece.look || piece.color || piece.background
        ? html`<span class=${piece.look} style=${{ color: piece.color ?? "", backgroundColor: piece.background ?? "" }}>${piece.text}</span>`
        : piece.text,
    )}</span>
  </div>`;
}

/** Drawn once: scrolling past a thousand lines makes only those that come into sight. */
export const LogLine = memo(Row, ["line", "kind", "pieces", "linked", "current"]);
