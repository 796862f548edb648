//@ts-check
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { useCatalogue } from "../lib/catalogue.js";
import { issueName, number, shortRepository } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { useKeys } from "../lib/keys.js";
import { navigate, setQuery } from "../lib/router.js";
import { Icon } from "./icon.js";
import { IssueStatus, Priority } from "./status.js";
import { Ago, Elapsed } from "./time.js";
import { VirtualRows } from "./virtual.js";

const ROW_PX = 44;

/** @typedef {{items: IssueOut[], total: number, wanted: (row: number) => void}} List */

/** @param {{issue: IssueOut, at: number, selected: boolean, current: boolean, onSelect: (event: MouseEvent | KeyboardEvent) => void, node: NodeOut | undefined, project: ProjectOut | undefined}} props */
function Row({ issue, at, selected, current, onSelect, node, project }) {
  const where = shortRepository(issue.repository_url);
  return html`<div class="issue-row" role="row" aria-selected=${selected} aria-rowindex=${at + 2} data-current=${current} data-id=${issue.id}>
    <span role="cell" class="pick"><input type="checkbox" checked=${selected} aria-label=${t("issues.select", { title: issue.title })} onClick=${onSelect} /></span>
    <span role="cell"><${IssueStatus} status=${issue.status} compact /></span>
    <span role="cell" class="title-cell"><a class="ellipsis" href=${`/issues/${issue.id}`}>${issue.title}</a>
      ${issue.error_message && issue.status === "failed" && html`<span class="ellipsis quiet-text why">${issue.error_message}</span>`}</span>
    <span role="cell" class="wide-only ellipsis second mono" title=${issue.repository_url}>${where}${issue.issue_number ? html`<span class="quiet-text"> ${issueName(issue)}</span>` : ""}</span>
    <span role="cell" class="wide-only ellipsis second">${project?.name ?? ""}</span>
    <span role="cell" class="wide-only ellipsis second">${node?.name ?? ""}</span>
    <span role="cell" class="num second" title=${t("field.priority")}>${issue.priority ? html`<${Priority} value=${issue.priority} />` : ""}</span>
    <span role="cell" class="num second wide-only" title=${t("field.attempts")}>${issue.attempt_count > 0 ? `${issue.attempt_count}/${issue.max_attempts}` : ""}</span>
    <span role="cell" class="num quiet-text when">${issue.status === "processing" && issue.started_at ? html`<${Elapsed} since=${issue.started_at} />` : html`<${Ago} at=${issue.completed_at ?? issue.created_at} />`}</span>
  </div>`;
}

/** @param {{sort: string | undefined, items: IssueOut[], selected: Set<string>, onSelect: (ids: Set<string>) => void}} props */
function Head({ sort, items, selected, onSelect }) {
  const every = items.length > 0 && items.every((each) => selected.has(each.id));
  const byPriority = sort === "priority";
  return html`<div class="issue-row issue-head" role="row" aria-rowindex="1">
    <span role="columnheader" class="pick"><input type="checkbox" checked=${every} aria-label=${t("issues.select_all")}
      onClick=${() => onSelect(every ? new Set() : new Set(items.map((each) => each.id)))} /></span>
    <span role="columnheader"><span class="sr-only">${t("field.status")}</span></span>
    <span role="columnheader">${t("field.title")}</span>
    <span role="columnheader" class="wide-only">${t("field.repository")}</span>
    <span role="columnheader" class="wide-only">${t("field.project")}</span>
    <span role="columnheader" class="wide-only">${t("field.node")}</span>
    <span role="columnheader" class="num" aria-sort=${byPriority ? "descending" : "none"}>
      <button type="button" class="sort" data-on=${byPriority} onClick=${() => setQuery({ sort: "priority" })}>${t("field.priority_short")}${byPriority && html`<${Icon} name="down" />`}</button></span>
    <span role="columnheader" class="num wide-only">${t("field.attempts_short")}</span>
    <span role="columnheader" class="num" aria-sort=${byPriority ? "none" : "descending"}>
      <button type="button" class="sort" data-on=${!byPriority} onClick=${() => setQuery({ sort: null })}>${t("field.age")}${!byPriority && html`<${Icon} name="down" />`}</button></span>
  </div>`;
}

/**
 * Selection by click, with Shift as a range, and by keyboard.
 * @param {IssueOut[]} items @param {Set<string>} selected @param {(ids: Set<string>) => void} onSelect
 */
function useSelection(items, selected, onSelect) {
  const [current, setCurrent] = useState(-1);
  const [anchor, setAnchor] = useState(-1);
  const select = (/** @type {number} */ at, /** @type {boolean} */ range) => {
    const ids = new Set(selected);
    const from = range && anchor >= 0 ? anchor : at;
    const on = !selected.has(items[at]?.id ?? "");
    for (const each of items.slice(Math.min(from, at), Math.max(from, at) + 1)) {
      if (on) ids.add(each.id);
      else ids.delete(each.id);
    }
    setAnchor(at);
    onSelect(ids);
  };
  const move = (/** @type {number} */ step) => {
    const at = Math.max(0, Math.min(items.length - 1, current + step));
    setCurrent(at);
    bringIntoSight(at);
  };
  const here = () => items[current];
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    x: () => here() && select(current, false),
    Enter: () => here() && navigate(`/issues/${here()?.id}`),
    o: () => here() && navigate(`/issues/${here()?.id}`),
    Escape: () => { onSelect(new Set()); setCurrent(-1); },
  });
  return { current, select };
}

/** @param {number} at */
function bringIntoSight(at) {
  const scroller = document.getElementById("view");
  const rows = document.querySelector(".virtual");
  if (!scroller || !rows) return;
  const top = rows.getBoundingClientRect().top - scroller.getBoundingClientRect().top + at * ROW_PX;
  if (top < ROW_PX) scroller.scrollBy(0, top - ROW_PX * 2);
  else if (top + ROW_PX > scroller.clientHeight) scroller.scrollBy(0, top + ROW_PX * 2 - scroller.clientHeight);
}

/** @param {{list: List, selected: Set<string>, onSelect: (ids: Set<string>) => void, sort: string | undefined}} props */
export function IssueTable({ list, selected, onSelect, sort }) {
  const nodes = useCatalogue("nodes").byId;
  const projects = useCatalogue("projects").byId;
  const { items, total } = list;
  const { current, select } = useSelection(items, selected, onSelect);
  const row = (/** @type {number} */ at) => {
    const issue = items[at];
    if (!issue) return html`<div class="issue-row" role="row" key=${at} aria-busy="true"><span role="cell"></span><span role="cell"></span><span role="cell"><span class="skeleton w3"></span></span></div>`;
    return html`<${Row} key=${issue.id} issue=${issue} at=${at} selected=${selected.has(issue.id)} current=${at === current}
      node=${nodes.get(issue.assigned_node_id ?? "")} project=${projects.get(issue.project_id ?? "")}
      onSelect=${(/** @type {MouseEvent} */ event) => select(at, event.shiftKey)} />`;
  };
  const count = Math.max(items.length, total);
  return html`<div class="issue-table" role="table" aria-label=${t("place.issues")} aria-rowcount=${count + 1}>
    <div role="rowgroup" class="issue-head-group"><${Head} sort=${sort} items=${items} selected=${selected} onSelect=${onSelect} /></div>
    <${VirtualRows} count=${count} rowHeight=${ROW_PX} row=${row} onRange=${list.wanted} label=${t("place.issues")} />
  </div>
  <p class="issue-total quiet-text" role="status">${t("issues.total", { n: number(total) })}</p>`;
}
