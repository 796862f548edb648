//@ts-check
// Small things that every view uses.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { refusal, t } from "../lib/i18n.js";
import { Icon } from "./icon.js";
import { complain, Told } from "./toast.js";

/** @param {{text: string, label?: string}} props */
export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch (problem) {
      complain(problem);
    }
  };
  const spoken = copied ? t("action.copied") : (label ?? t("action.copy"));
  return html`<button type="button" class="button quiet small icon" onClick=${copy} aria-label=${spoken} title=${spoken}>
    <${Icon} name=${copied ? "check" : "copy"} />
  </button>`;
}

/** @param {{text: string, shown?: string}} props `shown`: what is seen instead of `text`, such as a masked key. */
export function Command({ text, shown }) {
  return html`<div class="command"><pre tabindex="0">${shown ?? text}</pre><${Copy} text=${text} /></div>`;
}

/** @param {{icon: string, title: string, text?: string, children?: any}} props */
export function Empty({ icon, title, text, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${text && html`<p>${text}</p>`}${children}</div>`;
}

/** @param {{problem: unknown, retry?: () => void}} props */
export function Problem({ problem, retry }) {
  return html`<div class="notice" data-tone="bad" role="alert">
    <${Icon} name="warning" />
    <div class="row-flex wrap"><${Told} problem=${problem} />
      ${retry && html`<button type="button" class="button small" onClick=${retry}>${t("action.try_again")}</button>`}</div>
  </div>`;
}

/** @param {{rows?: number}} props */
export function Loading({ rows = 4 }) {
  return html`<div class="stack pad" role="status" aria-label=${t("loading")}>
    ${Array.from({ length: rows }, (_, at) => html`<span class=${`skeleton w${(at % 4) + 1}`} key=${at}></span>`)}
  </div>`;
}

/** @param {{words: string[]}} props */
export function Tags({ words }) {
  return html`<span class="tags">${words.map((word) => html`<span class="tag" key=${word} title=${word}>${word}</span>`)}</span>`;
}

/**
 * @param {{label: string, hint?: string, error?: string | undefined, wide?: boolean, for: string, children?: any}} props
 */
export function Field({ label, hint, error, wide, for: id, children }) {
  return html`<div class=${wide ? "field wide" : "field"}>
    <label for=${id}>${label}</label>
    ${children}
    ${error ? html`<span class="wrong" role="alert">${refusal("field")} <span lang="en">${error}</span></span>` : hint && html`<span class="hint">${hint}</span>`}
  </div>`;
}
