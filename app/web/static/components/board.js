//@ts-check
// The queue by status, a column each; what waits in the order in which it goes. Every column is a list of its own, so each knows its total.
import { html } from "../lib/html.js";
import { useCatalogue } from "../lib/catalogue.js";
import { number, shortRepository } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { STATUSES, useIssueList } from "../lib/issues.js";
import { Icon } from "./icon.js";
import { issueTone, Priority, StatusIcon } from "./status.js";
import { Ago, Elapsed } from "./time.js";

const SHOWN = 40;

/** @param {{issue: IssueOut, node: NodeOut | undefined}} props */
function Card({ issue, node }) {
  return html`<li><a class="board-card" href=${`/issues/${issue.id}`}>
    <span class="board-title">${issue.title}</span>
    ${issue.status === "failed" && issue.error_message && html`<span class="ellipsis quiet-text">${issue.error_message}</span>`}
    <span class="board-foot quiet-text">
      <span class="ellipsis mono">${shortRepository(issue.repository_url)}${issue.issue_number ? ` #${issue.issue_number}` : ""}</span>
      ${issue.priority !== 0 && html`<${Priority} value=${issue.priority} />`}
      <span class="when">${issue.status === "processing" && issue.started_at ? html`<${Elapsed} since=${issue.started_at} />` : html`<${Ago} at=${issue.completed_at ?? issue.created_at} />`}</span>
    </span>
    ${node && html`<span class="row-flex second"><${Icon} name="nodes" /><span class="ellipsis">${node.name}</span></span>`}
  </a></li>`;
}

/** @param {{status: string, filter: import("../lib/issues.js").Filter, nodes: Map<string, NodeOut>}} props */
function Column({ status, filter, nodes }) {
  const list = useIssueList({ ...filter, status, ...(status === "pending" && { sort: "priority" }) });
  return html`<section class="board-column" data-tone=${issueTone(status)} aria-label=${named("status", status)}>
    <h2><span class="tone"><${StatusIcon} status=${status} /></span>${named("status", status)}<span class="count">${list.loaded ? number(list.total) : ""}</span></h2>
    <ul tabindex="0">${list.items.slice(0, SHOWN).map((issue) => html`<${Card} key=${issue.id} issue=${issue} node=${nodes.get(issue.assigned_node_id ?? "")} />`)}
      ${list.total > SHOWN && html`<li><a class="link card-more" href=${`/issues?status=${status}`}>${t("board.more", { n: number(list.total - SHOWN) })}</a></li>`}
      ${list.loaded && list.total === 0 && html`<li class="board-empty quiet-text">${t("board.empty")}</li>`}</ul>
  </section>`;
}

/** @param {{filter: import("../lib/issues.js").Filter}} props */
export function Board({ filter }) {
  const nodes = useCatalogue("nodes").byId;
  return html`<div class="board">${STATUSES.map((status) => html`<${Column} key=${status} status=${status} filter=${filter} nodes=${nodes} />`)}</div>`;
}
