//@ts-check
// What the fleet is doing, on one screen.
import { html } from "../lib/html.js";
import { get, serverNow } from "../lib/api.js";
import { compact, duration, number } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { Throughput } from "../components/chart.js";
import { Icon } from "../components/icon.js";
import { Command, Empty, Loading, Problem } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { issueTone, nodeTone, StatusIcon } from "../components/status.js";
import { Ago, Elapsed, GrowingAge } from "../components/time.js";

const EVERY_MS = 30_000;
const RUNNING_SHOWN = 12;

/** @param {AbortSignal} signal */
async function load(signal) {
  const [stats, failures] = await Promise.all([
    get("/dashboard/stats", undefined, signal),
    get("/issues", { status: "failed", limit: 6 }, signal),
  ]);
  return /** @type {{stats: StatsOut, failures: IssueOut[], at: number}} */ ({ stats, failures: failures.items, at: serverNow() });
}

/** What ended since midnight here. @param {StatsOut} stats */
function today(stats) {
  const midnight = new Date(serverNow()).setHours(0, 0, 0, 0);
  const hours = stats.throughput.filter((each) => Date.parse(each.hour) >= midnight);
  return {
    completed: hours.reduce((sum, each) => sum + each.completed, 0),
    failed: hours.reduce((sum, each) => sum + each.failed, 0),
  };
}

/** @param {{word: any, value: number, tone: string, icon: string, href: string, note?: any}} props */
function Tile({ word, value, tone, icon, href, note }) {
  return html`<a class="tile" href=${href} data-tone=${tone}>
    <span class="tile-word"><${StatusIcon} status=${icon} />${word}</span>
    <span class="tile-value" data-value=${value}>${compact(value)}</span>
    <span class="tile-note">${note ?? "\u00a0"}</span>
  </a>`;
}

/** @param {{stats: StatsOut, at: number}} props */
function Tiles({ stats, at }) {
  const { issues, nodes } = stats;
  const done = today(stats);
  const oldest = issues.oldest_pending_age_s;
  const age = oldest === null || oldest === undefined ? t("overview.nothing_waits") : html`${t("overview.oldest")} <${GrowingAge} seconds=${oldest} at=${at} />`;
  return html`<div class="tiles">
    <${Tile} word=${t("overview.waiting")} value=${issues.pending} tone="waiting" icon="pending" href="/issues?status=pending" note=${age} />
    <${Tile} word=${t("overview.running")} value=${issues.processing} tone="running" icon="processing" href="/issues?status=processing"
      note=${t("overview.on_nodes", { n: nodes.busy })} />
    <${Tile} word=${t("overview.review")} value=${issues.pending_merge} tone="review" icon="pending_merge" href="/issues?status=pending_merge" note=${t("overview.review_note")} />
    <${Tile} word=${t("overview.done")} value=${done.completed} tone="good" icon="completed" href="/issues?status=completed,pending_merge,merged" note=${t("overview.today")} />
    <${Tile} word=${t("overview.failed")} value=${done.failed} tone="bad" icon="failed" href="/issues?status=failed"
      note=${t("overview.failed_all", { n: number(issues.failed) })} />
  </div>`;
}

/** @param {{nodes: StatsOut["nodes"]}} props */
function Fleet({ nodes }) {
  const idle = Math.max(0, nodes.online - nodes.busy - nodes.draining - nodes.paused);
  const parts = /** @type {[string, number][]} */ ([
    ["busy", nodes.busy],
    ["online", idle],
    ["draining", nodes.draining],
    ["paused", nodes.paused],
    ["offline", nodes.offline],
  ]);
  const sum = Math.max(1, parts.reduce((total, [, count]) => total + count, 0));
  return html`<div class="fleet">
    <div class="fleet-bar" aria-hidden="true">
      ${parts.filter(([, count]) => count > 0).map(([state, count]) => html`<span key=${state} data-tone=${nodeTone(state)} data-state=${state} style=${{ flexGrow: count / sum }}></span>`)}
    </div>
    <dl class="legend">${parts.map(([state, count]) => html`<div key=${state} data-tone=${nodeTone(state)}>
      <dt><span class="dot" data-state=${state}></span>${named("node", state === "online" ? "idle" : state)}</dt><dd>${number(count)}</dd></div>`)}</dl>
  </div>`;
}

/** @param {{running: RunningOut[]}} props */
function Running({ running }) {
  if (running.length === 0) return html`<p class="card-body quiet-text">${t("overview.nothing_runs")}</p>`;
  return html`<ul class="list" id="running">${running.slice(0, RUNNING_SHOWN).map((each) => html`<li key=${each.issue_id}>
    <a href=${`/issues/${each.issue_id}`} data-tone="running"><span class="tone"><${StatusIcon} status="processing" /></span>
      <span class="ellipsis">${each.title}</span>
      <span class="row-flex second node-name"><${Icon} name="nodes" /><span class="ellipsis">${each.node_name}</span></span>
      <span class="when">${each.started_at ? html`<${Elapsed} since=${each.started_at} />` : duration(each.running_s ?? 0)}</span></a>
  </li>`)}</ul>
  ${running.length > RUNNING_SHOWN && html`<a class="card-more link" href="/issues?status=processing">${t("overview.all_running", { n: running.length })}</a>`}`;
}

/** @param {{failures: IssueOut[]}} props */
function Failures({ failures }) {
  if (failures.length === 0) return html`<p class="card-body quiet-text">${t("overview.no_failures")}</p>`;
  return html`<ul class="list">${failures.map((issue) => html`<li key=${issue.id}>
    <a href=${`/issues/${issue.id}`} data-tone=${issueTone("failed")}><span class="tone"><${StatusIcon} status="failed" /></span>
      <span class="two-lines"><span class="ellipsis">${issue.title}</span><span class="ellipsis quiet-text">${issue.error_message ?? t("overview.no_message")}</span></span>
      <span class="when"><${Ago} at=${issue.completed_at ?? issue.updated_at} /></span></a>
  </li>`)}</ul>`;
}

function FirstNode() {
  const command = `nodeyard agent --server ${location.origin} --registration-key nyr_…`;
  return html`<section class="card"><${Empty} icon="nodes" title=${t("overview.first_node")} text=${t("overview.first_node_text")}>
    <${Command} text=${command} />
    <a class="button primary" href="/nodes?connect=1">${t("nodes.connect")}</a>
  <//></section>`;
}

function FirstIssue() {
  const command = `curl ${location.origin}/api/v1/issues -H "Authorization: Bearer nyu_…" -H "Content-Type: application/json" -d '{"title": "…", "repository_url": "https://github.com/…"}'`;
  return html`<section class="card"><${Empty} icon="issues" title=${t("overview.first_issue")} text=${t("overview.first_issue_text")}>
    <${Command} text=${command} />
    <a class="button primary" href="/issues?new=1">${t("issues.create")}</a>
  <//></section>`;
}

/** @param {{title: string, href?: string, class?: string, children?: any}} props */
function Section({ title, href, class: look = "", children }) {
  return html`<section class=${`card ${look}`}><div class="card-head"><h2>${title}</h2><span class="spacer"></span>
    ${href && html`<a class="second link" href=${href} aria-label=${`${t("action.all")}: ${title}`}>${t("action.all")}</a>`}</div>${children}</section>`;
}

export default function Overview() {
  const { data, error, refresh } = useLive(load, [], { on: ["issue", "node", "deleted"], everyMs: EVERY_MS });
  const title = t("place.overview");
  if (!data) return html`<${Bar} title=${title} /><${View}>${error ? html`<div class="pad"><${Problem} problem=${error} retry=${refresh} /></div>` : html`<${Loading} rows=${6} />`}<//>`;
  const { stats, failures, at } = data;
  return html`<${Bar} title=${title} /><${View}><div class="pad overview">
    ${error && html`<${Problem} problem=${error} retry=${refresh} />`}
    <${Tiles} stats=${stats} at=${at} />
    ${(stats.nodes.total === 0 || stats.issues.total === 0) && html`<div class="first-steps">
      ${stats.nodes.total === 0 && html`<${FirstNode} />`}${stats.issues.total === 0 && html`<${FirstIssue} />`}</div>`}
    <div class="overview-grid">
      <${Section} title=${t("overview.throughput")}><div class="card-body"><${Throughput} hours=${stats.throughput} />
        <div class="chart-legend"><span><i class="swatch completed"></i>${t("chart.completed")}</span><span><i class="swatch failed"></i>${t("chart.failed")}</span></div></div><//>
      <${Section} title=${t("place.nodes")} href="/nodes"><div class="card-body"><${Fleet} nodes=${stats.nodes} /></div><//>
      <${Section} title=${t("overview.runs_now")} href="/issues?status=processing"><${Running} running=${stats.running} /><//>
      <${Section} title=${t("overview.failures")} href="/issues?status=failed"><${Failures} failures=${failures} /><//>
    </div>
  </div><//>`;
}
