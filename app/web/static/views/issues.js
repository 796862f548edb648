//@ts-check
// The queue: as a table or as a board, filtered by what the address says.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { useCatalogue } from "../lib/catalogue.js";
import { named, t } from "../lib/i18n.js";
import { STATUSES, useIssueList } from "../lib/issues.js";
import { useKeys } from "../lib/keys.js";
import { navigate, place, setQuery } from "../lib/router.js";
import { Board } from "../components/board.js";
import { BulkBar } from "../components/bulk.js";
import { CreateIssues } from "../components/create.js";
import { Icon } from "../components/icon.js";
import { IssueTable } from "../components/issuetable.js";
import { Empty, Loading, Problem } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { issueTone, StatusIcon } from "../components/status.js";

const TYPING_MS = 200;

/** @typedef {import("../lib/issues.js").Filter} Filter */

/** @param {URLSearchParams} query @returns {Filter} */
function filterOf(query) {
  /** @type {Record<string, string>} */
  const filter = {};
  for (const name of ["status", "q", "project_id", "repository_id", "node_id", "sort"]) {
    const value = query.get(name);
    if (value) filter[name] = value;
  }
  return filter;
}

function Search() {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(0);
  const given = place.value.query.get("q") ?? "";
  const [text, setText] = useState(given);
  useEffect(() => setText(given), [given]);
  useKeys({ "/": () => field.current?.focus() });
  const typed = (/** @type {any} */ event) => {
    const value = event.target.value;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ q: value }), TYPING_MS);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") field.current?.blur();
  };
  return html`<div class="search"><${Icon} name="search" />
    <input ref=${field} class="input" type="search" name="q" placeholder=${t("issues.search")} aria-label=${t("issues.search")} value=${text}
      onInput=${typed} onKeyDown=${onKeyDown} /><kbd aria-hidden="true">/</kbd></div>`;
}

/** @param {{status: string}} props */
function StatusChips({ status }) {
  const chosen = status ? status.split(",") : [];
  const toggle = (/** @type {string} */ each) => {
    const next = chosen.includes(each) ? chosen.filter((other) => other !== each) : [...chosen, each];
    setQuery({ status: STATUSES.filter((other) => next.includes(other)).join(",") });
  };
  return html`<div class="chips" role="group" aria-label=${t("field.status")}>
    ${STATUSES.map((each) => html`<button type="button" class="chip" key=${each} aria-pressed=${chosen.includes(each)} data-tone=${issueTone(each)}
      onClick=${() => toggle(each)}><${StatusIcon} status=${each} />${named("status", each)}</button>`)}
  </div>`;
}

/** @param {{name: string, label: string, value: string | undefined, items: any[], text?: (item: any) => string}} props */
function FilterSelect({ name, label, value, items, text = (item) => item.name }) {
  if (items.length === 0 && !value) return null;
  return html`<select class="select filter" aria-label=${label} value=${value ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value })}>
    <option value="">${label}</option>
    ${items.map((item) => html`<option key=${item.id} value=${item.id}>${text(item)}</option>`)}
  </select>`;
}

/** @param {{filter: Filter, board: boolean}} props */
function Filters({ filter, board }) {
  const projects = useCatalogue("projects").items;
  const repositories = useCatalogue("repositories").items;
  const nodes = useCatalogue("nodes").items;
  const any = Object.keys(filter).some((name) => name !== "sort");
  return html`<div class="filters">
    <${Search} />
    ${!board && html`<${StatusChips} status=${filter.status ?? ""} />`}
    <${FilterSelect} name="project_id" label=${t("field.project")} value=${filter.project_id} items=${projects} />
    <${FilterSelect} name="repository_id" label=${t("field.repository")} value=${filter.repository_id} items=${repositories} />
    <${FilterSelect} name="node_id" label=${t("field.node")} value=${filter.node_id} items=${nodes} />
    ${any && html`<button type="button" class="button quiet small" onClick=${() => navigate(board ? "/issues?view=board" : "/issues", { replace: true })}>
      <${Icon} name="close" />${t("issues.clear")}</button>`}
  </div>`;
}

/** @param {{board: boolean}} props */
function ViewSwitch({ board }) {
  return html`<div class="group" role="group" aria-label=${t("issues.view")}>
    <button type="button" class="button icon" aria-pressed=${!board} aria-label=${t("issues.table")} title=${t("issues.table")}
      onClick=${() => setQuery({ view: null })}><${Icon} name="table" /></button>
    <button type="button" class="button icon" aria-pressed=${board} aria-label=${t("issues.board")} title=${t("issues.board")}
      onClick=${() => setQuery({ view: "board", status: null })}><${Icon} name="board" /></button>
  </div>`;
}

/** @param {{filtered: boolean, onCreate: () => void}} props */
function Nothing({ filtered, onCreate }) {
  if (filtered) {
    return html`<${Empty} icon="search" title=${t("issues.none_match")} text=${t("issues.none_match_text")}>
      <button type="button" class="button" onClick=${() => navigate("/issues", { replace: true })}>${t("issues.clear")}</button><//>`;
  }
  return html`<${Empty} icon="issues" title=${t("issues.none")} text=${t("issues.none_text")}>
    <button type="button" class="button primary" onClick=${onCreate}><${Icon} name="plus" />${t("issues.create")}</button><//>`;
}

/** @param {{filter: Filter, onCreate: () => void}} props */
function Table({ filter, onCreate }) {
  const list = useIssueList(filter);
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  const key = JSON.stringify(filter);
  useEffect(() => setSelected(new Set()), [key]);
  const filtered = Object.keys(filter).some((name) => name !== "sort");
  return html`
    ${list.error && html`<div class="pad-x"><${Problem} problem=${list.error} retry=${list.refresh} /></div>`}
    ${!list.loaded && html`<${Loading} rows=${8} />`}
    ${list.loaded && list.total === 0 && list.items.length === 0 && !list.error && html`<${Nothing} filtered=${filtered} onCreate=${onCreate} />`}
    ${list.items.length > 0 && html`<${IssueTable} list=${list} selected=${selected} onSelect=${setSelected} sort=${filter.sort} />`}
    ${selected.size > 0 && html`<${BulkBar} issues=${list.items.filter((each) => selected.has(each.id))} show=${list.show} onDone=${() => setSelected(new Set())} />`}`;
}

export default function Issues() {
  const query = place.value.query;
  const board = query.get("view") === "board";
  const filter = filterOf(query);
  const create = () => setQuery({ new: "1" });
  useKeys({ c: create });
  return html`<${Bar} title=${t("place.issues")}>
      <${ViewSwitch} board=${board} />
      <button type="button" class="button primary" onClick=${create}><${Icon} name="plus" />${t("issues.create")}</button>
    <//>
    <${View} class="issues-view">
      <${Filters} filter=${filter} board=${board} />
      ${board ? html`<${Board} filter=${filter} />` : html`<${Table} filter=${filter} onCreate=${create} />`}
      ${query.get("new") && html`<${CreateIssues} onClose=${() => setQuery({ new: null })} />`}
    <//>`;
}
