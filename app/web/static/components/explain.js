//@ts-check
// Why an issue waits, in the server's words, asked again while it does.
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { Icon } from "./icon.js";

const EVERY_MS = 10_000;

/** @param {{issue: IssueOut}} props */
export function Explain({ issue }) {
  const { data } = useLive((signal) => get(`/issues/${issue.id}/explain`, {}, signal), [issue.id, issue.updated_at], { on: ["node"], everyMs: EVERY_MS });
  if (!data) return null;
  const reasons = /** @type {{code: string, detail: string}[]} */ (data.reasons ?? []);
  return html`<section class="notice explain" data-tone="running"><${Icon} name="clock" /><div>
    <strong>${t("explain.title")}</strong>
    ${reasons.length === 0 ? html`<p>${data.detail ?? data.summary ?? t("explain.next")}</p>` : html`<ul>${reasons.map((reason) => html`<li key=${reason.detail}>${reason.detail}</li>`)}</ul>`}
  </div></section>`;
}
