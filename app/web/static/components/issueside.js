//@ts-check
// The facts of an issue, beside its work.
import { html } from "../lib/html.js";
import { useCatalogue } from "../lib/catalogue.js";
import { compact, cost, dateTime, number, shortRepository } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Copy, Tags } from "./parts.js";
import { Icon } from "./icon.js";
import { Spent } from "./spent.js";
import { IssueStatus } from "./status.js";
import { Ago, Elapsed } from "./time.js";

/** @param {{name: string, children?: any}} props */
function Fact({ name, children }) {
  return html`<div class="fact"><dt>${name}</dt><dd>${children}</dd></div>`;
}

/** Where a repository can be visited; null when it is no web address. @param {string | null} address */
function webAddress(address) {
  return address && /^https:\/\//.test(address) ? address.replace(/\.git$/, "") : null;
}

/** @param {{issue: IssueOut}} props */
function Where({ issue }) {
  const address = webAddress(issue.repository_url);
  const name = shortRepository(issue.repository_url);
  if (!name) return html`<span class="quiet-text">–</span>`;
  const number = issue.issue_number;
  return html`<span class="row-flex wrap">${address ? html`<a class="link ellipsis" href=${address} target="_blank" rel="noopener noreferrer">${name}</a>` : html`<span class="ellipsis" title=${issue.repository_url}>${name}</span>`}
    ${number && (address ? html`<a class="link" href=${`${address}/issues/${number}`} target="_blank" rel="noopener noreferrer">#${number}</a>` : html`<span>#${number}</span>`)}</span>`;
}

/** What the attempts cost together, model by model. @param {AttemptOut[]} attempts */
export function usageOf(attempts) {
  /** @type {Map<string, UsageOut>} */
  const sums = new Map();
  for (const usage of attempts.flatMap((attempt) => attempt.usage ?? [])) {
    const key = `${usage.provider}/${usage.model}`;
    const sum = sums.get(key) ?? { ...usage, input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0 };
    for (const name of /** @type {const} */ (["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"])) sum[name] += usage[name];
    sum.cost_usd = Number(sum.cost_usd) + Number(usage.cost_usd);
    sums.set(key, sum);
  }
  return [...sums.values()];
}

/** @param {{issue: IssueDetailOut, attempts: AttemptOut[]}} props */
function Cost({ issue, attempts }) {
  const usage = usageOf(attempts);
  if (usage.length === 0) return null;
  return html`<section class="side-part"><h2>${t("issue.cost")}</h2><p><${Spent} usage=${issue.usage} /></p>
    <dl>${usage.map((each) => html`<div class="fact cost" key=${each.model}><dt class="ellipsis mono" title=${`${each.provider} ${each.model}`}>${each.model}</dt>
      <dd title=${t("cost.tokens", { input: number(each.input_tokens), output: number(each.output_tokens), cached: number(each.cache_read_tokens) })}>
        ${compact(each.input_tokens)} → ${compact(each.output_tokens)} <span class="quiet-text">${cost(Number(each.cost_usd))}</span></dd></div>`)}</dl>
  </section>`;
}

/** @param {{issue: IssueDetailOut, attempts: AttemptOut[]}} props */
export function IssueSide({ issue, attempts }) {
  const project = useCatalogue("projects").byId.get(issue.project_id ?? "");
  const prompt = useCatalogue("prompts").byId.get(issue.prompt_id ?? "");
  const node = useCatalogue("nodes").byId.get(issue.assigned_node_id ?? "");
  const branch = issue.result_branch ?? attempts.at(-1)?.branch;
  return html`<aside class="side" aria-label=${t("issue.facts")}>
    <section class="side-part"><dl>
      <${Fact} name=${t("field.status")}><${IssueStatus} status=${issue.status} /><//>
      ${issue.status === "processing" && issue.started_at && html`<${Fact} name=${t("field.running_for")}><${Elapsed} since=${issue.started_at} /><//>`}
      <${Fact} name=${t("field.priority")}>${number(issue.priority)}<//>
      <${Fact} name=${t("field.attempts")}>${issue.attempt_count} / ${issue.max_attempts}<//>
      ${node && html`<${Fact} name=${t("field.node")}><a class="link row-flex" href=${`/nodes/${node.id}`}><${Icon} name="nodes" /><span class="ellipsis">${node.name}</span></a><//>`}
    </dl></section>
    <section class="side-part"><dl>
      <${Fact} name=${t("field.repository")}><${Where} issue=${issue} /><//>
      ${issue.base_branch && html`<${Fact} name=${t("field.base_branch")}><span class="mono">${issue.base_branch}</span><//>`}
      ${branch && html`<${Fact} name=${issue.result_branch ? t("field.result_branch") : t("field.branch")}><span class="row-flex"><span class="mono ellipsis" title=${branch}>${branch}</span><${Copy} text=${branch} /></span><//>`}
      ${project && html`<${Fact} name=${t("field.project")}><a class="link" href=${`/issues?project_id=${project.id}`}>${project.name}</a><//>`}
      ${prompt && html`<${Fact} name=${t("field.prompt")}>${prompt.name}<//>`}
      ${issue.tool && html`<${Fact} name=${t("field.tool")}>${issue.tool}<//>`}
      ${issue.requires.length > 0 && html`<${Fact} name=${t("field.requires")}><${Tags} words=${issue.requires} /><//>`}
    </dl></section>
    <section class="side-part"><dl>
      <${Fact} name=${t("field.created")}><${Ago} at=${issue.created_at} /><//>
      ${issue.not_before && issue.status === "pending" && html`<${Fact} name=${t("field.not_before")}>${dateTime(issue.not_before)}<//>`}
      ${issue.started_at && html`<${Fact} name=${t("field.started")}><${Ago} at=${issue.started_at} /><//>`}
      ${issue.completed_at && html`<${Fact} name=${t("field.completed")}><${Ago} at=${issue.completed_at} /><//>`}
      <${Fact} name=${t("field.id")}><span class="row-flex"><span class="mono ellipsis" title=${issue.id}>${issue.id}</span><${Copy} text=${issue.id} /></span><//>
    </dl></section>
    <${Cost} issue=${issue} attempts=${attempts} />
  </aside>`;
}
