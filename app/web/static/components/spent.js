//@ts-check
// What was spent on a thing, as the API sums it up.
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { cost, number } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";

/** @param {UsageTotals} usage */
const tokensOf = (usage) =>
  t("cost.tokens", { input: number(usage.input_tokens), output: number(usage.output_tokens), cached: number(usage.cache_read_tokens) });

/** @param {{usage: UsageTotals}} props */
export const Spent = ({ usage }) => html`<span class="spent" data-cost=${usage.cost_usd}><strong>${cost(usage.cost_usd)}</strong> <span class="quiet-text">${tokensOf(usage)}</span></span>`;

/** For what lists do not carry: asked of the one object. @param {{resource: "projects" | "credentials", id: string}} props */
export function SpentOn({ resource, id }) {
  const { data } = useLive((signal) => /** @type {Promise<{usage: UsageTotals}>} */ (get(`/${resource}/${id}`, {}, signal)), [resource, id]);
  if (!data) return null;
  return html`<div class="field wide"><span class="label">${t("issue.cost")}</span><${Spent} usage=${data.usage} /></div>`;
}
