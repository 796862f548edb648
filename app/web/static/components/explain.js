//@ts-check
// Why an issue waits, in the server's words, asked again while it does.
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { named, t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { Icon } from "./icon.js";

const EVERY_MS = 10_000;

/** @param {{issue: IssueOut}} props */
export function Explain({ issue }) {
  const { data } = useLive((signal) => get(`/issues/${issue.id}/explain`, {}, signal), [issue.id, issue.updated_at], { on: ["node"], everyMs: EVERY_MS });
  if (!data) return null;
  const reasons = /** @type {{code: string, detail: string}[]} */ (data.reasons);
  if (reasons.length === 0) return null;
  return html`<section class="notice explain" data-tone="running"><${Icon} name="clock" /><div>
    <span class="second">${t("explain.title")}</span>
    <ul>${reasons.map((reason) => html`<li key=${reason.code}><strong>${named("why", reason.code)}</strong> <span class="second">${reason.detail}</span></li>`)}</ul>
  </div></section>`;
}
