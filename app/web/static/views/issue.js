//@ts-check
// One issue: what was asked, what happened, what happens now.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { del, get } from "../lib/api.js";
import { issueName } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { allows, run, VERBS } from "../lib/issues.js";
import { useKeys } from "../lib/keys.js";
import { useLive } from "../lib/live.js";
import { EARLIER, LogFeed } from "../lib/logfeed.js";
import { LogModel } from "../lib/logmodel.js";
import { Markdown } from "../lib/markdown.js";
import { navigate, place, setQuery } from "../lib/router.js";
import { Confirm } from "../components/dialog.js";
import { EditIssue } from "../components/edit.js";
import { Explain } from "../components/explain.js";
import { Gantt, isLive } from "../components/gantt.js";
import { Icon } from "../components/icon.js";
import { IssueSide } from "../components/issueside.js";
import { Log } from "../components/log.js";
import { Menu } from "../components/menu.js";
import { Loading, Problem } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { IssuePill } from "../components/status.js";

const NO_LOG = new LogModel();

/** @typedef {import("../lib/issues.js").Verb} Verb */

/** @param {string} id */
function useAttempts(id) {
  const load = async (/** @type {AbortSignal} */ signal) => {
    const page = await get(`/issues/${id}/attempts`, { limit: 200 }, signal);
    return /** @type {AttemptOut[]} */ (page.items);
  };
  const mine = (/** @type {any} */ event, /** @type {string} */ type) => (type === "issue" ? event.id : event.issue_id) === id;
  return useLive(load, [id], { on: ["issue", "log"], concerns: mine });
}

/** @param {string} id */
function useFeed(id) {
  const [, redraw] = useState(0);
  const feed = useRef(/** @type {LogFeed | null} */ (null));
  feed.current ??= new LogFeed(id, () => redraw((before) => before + 1));
  useEffect(() => {
    const own = /** @type {LogFeed} */ (feed.current);
    own.start();
    return () => own.stop();
  }, [id]);
  return feed.current;
}

/** The attempt that the address names, else the newest. @param {AttemptOut[]} attempts */
function chosenOf(attempts) {
  const wanted = Number(place.value.query.get("attempt"));
  return attempts.find((each) => each.number === wanted) ?? attempts.at(-1);
}

/** @param {{issue: IssueOut, show: (issue: IssueOut) => void, onEdit: () => void, onDelete: () => void}} props */
function Verbs({ issue, show, onEdit, onDelete }) {
  const button = (/** @type {Verb} */ verb) =>
    allows(verb, issue.status) && html`<button type="button" key=${verb} class=${verb === "merge" ? "button primary" : "button"} data-verb=${verb}
      onClick=${() => void run(verb, issue, show)}><${Icon} name=${VERBS[verb].icon} />${t(`action.${verb}`)}</button>`;
  return html`${button("requeue")}${button("reject")}${button("merge")}${button("cancel")}
    <${Menu} label=${t("action.more")} class="button quiet" items=${[
      { label: t("action.edit"), icon: "edit", act: onEdit },
      { label: t("action.delete"), icon: "trash", danger: true, act: onDelete },
    ]} />`;
}

/** @param {{issue: IssueOut}} props */
function Description({ issue }) {
  if (!issue.description?.trim()) return null;
  return html`<section class="card description"><div class="card-body"><${Markdown} text=${issue.description} /></div></section>`;
}

/** @param {{issue: IssueOut, attempts: AttemptOut[]}} props */
function Work({ issue, attempts }) {
  const feed = useFeed(issue.id);
  const chosen = chosenOf(attempts);
  const model = feed.models.get(chosen?.id ?? EARLIER);
  const choose = (/** @type {number} */ number) => setQuery({ attempt: number === attempts.at(-1)?.number ? null : String(number) });
  return html`
    <${Gantt} attempts=${attempts} chosen=${chosen} onChoose=${choose} model=${model} />
    ${feed.error && html`<${Problem} problem=${feed.error} />`}
    ${(chosen || model) && html`<${Log} key=${`${chosen?.id ?? EARLIER}${model ? "" : " none"}`} model=${model ?? NO_LOG} revision=${model?.revision ?? 0}
      running=${chosen !== undefined && isLive(chosen)} issueId=${issue.id} complete=${feed.complete} />`}`;
}

/** @param {{issue: IssueOut, attempts: AttemptOut[]}} props */
function Trouble({ issue, attempts }) {
  if (!issue.error_message || issue.error_message === attempts.at(-1)?.error_message) return null;
  return html`<div class="notice" data-tone=${issue.status === "failed" ? "bad" : "warn"} role="note"><${Icon} name="warning" /><div>${issue.error_message}</div></div>`;
}

/** @param {{id: string}} props */
export default function IssueView({ id }) {
  const live = useLive((signal) => /** @type {Promise<IssueDetailOut>} */ (get(`/issues/${id}`, {}, signal)), [id], {
    on: ["issue", "deleted", "log"],
    concerns: (event, type) => (type === "log" ? event.issue_id : event.id) === id,
  });
  const attempts = useAttempts(id).data ?? [];
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const issue = live.data;
  useKeys({ e: () => issue && setEditing(true), Escape: () => history.back() });
  const crumb = html`<a class="crumb" href="/issues">${t("place.issues")}</a>`;
  if (live.error?.status === 404 || !issue) {
    const body = live.error ? html`<div class="pad"><${Problem} problem=${live.error} retry=${live.refresh} /></div>` : html`<${Loading} rows=${8} />`;
    return html`<${Bar} title=${crumb} document=${t("place.issues")} /><${View}>${body}<//>`;
  }
  const show = (/** @type {IssueOut} */ changed) => live.set((before) => ({ ...before, ...changed }));
  const remove = async () => {
    await del(`/issues/${id}`);
    navigate("/issues", { replace: true });
  };
  return html`<${Bar} title=${html`${crumb}<span class="crumb">›</span><span class="mono quiet-text">${issueName(issue)}</span>`} document=${issue.title}>
      <${Verbs} issue=${issue} show=${show} onEdit=${() => setEditing(true)} onDelete=${() => setDeleting(true)} />
    <//>
    <${View}><div class="issue">
      <div class="issue-main">
        <div class="issue-title"><h2>${issue.title}</h2><${IssuePill} status=${issue.status} /></div>
        ${live.error && html`<${Problem} problem=${live.error} retry=${live.refresh} />`}
        <${Trouble} issue=${issue} attempts=${attempts} />
        ${issue.status === "pending" && html`<${Explain} issue=${issue} />`}
        <${Description} issue=${issue} />
        <${Work} issue=${issue} attempts=${attempts} />
      </div>
      <${IssueSide} issue=${issue} attempts=${attempts} />
    </div><//>
    ${editing && html`<${EditIssue} issue=${issue} onClose=${() => setEditing(false)} onSaved=${show} />`}
    ${deleting && html`<${Confirm} title=${t("issue.delete_title")} text=${t("issue.delete_text", { title: issue.title })} submit=${t("action.delete")} onConfirm=${remove} onClose=${() => setDeleting(false)} />`}`;
}
