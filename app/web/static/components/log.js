//@ts-check
// The live log: a hundred thousand lines of which some sixty are on the page.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { paint } from "../lib/ansi.js";
import { number } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { useKeys } from "../lib/keys.js";
import { Rows } from "../lib/logmodel.js";
import { setWrapLines, wrapLines } from "../lib/prefs.js";
import { place, navigate } from "../lib/router.js";
import { highlight, LogSearch } from "./logsearch.js";
import { Icon } from "./icon.js";
import { LogLine, StepHead } from "./logline.js";

const LINE_PX = 20;
const HEAD_PX = 34;
const GUTTER_PX = 76;
const BEYOND_PX = 400;
const AT_END_PX = 24;
const PAINTED = 400;

/** @typedef {import("../lib/logmodel.js").LogModel} LogModel */

/** "#L10-L20" as [9, 19]. @returns {[number, number] | null} */
function linked() {
  const found = /^L(\d{1,9})(?:-L(\d{1,9}))?$/.exec(place.value.hash);
  if (!found) return null;
  const first = Number(found[1]) - 1;
  return [first, found[2] ? Number(found[2]) - 1 : first];
}

/** Colours carry from line to line of an entry, so whole entries are painted, and the last few kept. @param {LogModel} model */
function painter(model) {
  /** @type {Map<number, import("../lib/ansi.js").Piece[][]>} */
  const kept = new Map();
  return (/** @type {number} */ line) => {
    const { lines } = model;
    const here = lines[line];
    let first = line;
    while (lines[first - 1]?.entry === here?.entry && lines[first - 1]?.kind === here?.kind) first -= 1;
    let pieces = kept.get(first);
    if (!pieces) {
      let end = line + 1;
      while (lines[end]?.entry === here?.entry && lines[end]?.kind === here?.kind) end += 1;
      pieces = paint(lines.slice(first, end).map((each) => each.text));
      if (kept.size > PAINTED) kept.delete(/** @type {number} */ (kept.keys().next().value));
      kept.set(first, pieces);
    }
    return pieces[line - first] ?? [];
  };
}

/** Width of the scroller in columns of the log's font. @param {HTMLElement} scroller */
function columnsOf(scroller) {
  const probe = document.createElement("span");
  probe.className = "log-probe";
  probe.textContent = "0".repeat(100);
  scroller.append(probe);
  const width = probe.getBoundingClientRect().width / 100;
  probe.remove();
  return Math.max(20, Math.floor((scroller.clientWidth - GUTTER_PX) / width));
}

/**
 * Rows for the current width and folds; new ones only when those change.
 * @param {LogModel} model @param {number} cols
 */
function useRows(model, cols) {
  const [folds, setFolds] = useState(0);
  const rows = useMemo(() => new Rows(model, { cols, linePx: LINE_PX, headPx: HEAD_PX }), [model, cols, folds]);
  rows.extend();
  return { rows, folded: () => setFolds((before) => before + 1) };
}

/** @param {{current: HTMLElement | null}} scroller */
function useColumns(scroller) {
  const [cols, setCols] = useState(0);
  const wrap = wrapLines.value;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element || !wrap) {
      setCols(0);
      return undefined;
    }
    const measure = () => setCols(columnsOf(element));
    const resized = new ResizeObserver(measure);
    measure();
    resized.observe(element);
    return () => resized.disconnect();
  }, [wrap]);
  return cols;
}

/**
 * Following ends when one scrolls up, and begins again at the end.
 * @param {{current: HTMLElement | null}} scroller @param {Rows} rows @param {boolean} start
 */
function useFollow(scroller, rows, start) {
  const [follow, setFollow] = useState(start);
  const [top, setTop] = useState(0);
  const last = useRef(0);
  const onScroll = () => {
    const element = /** @type {HTMLElement} */ (scroller.current);
    const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - AT_END_PX;
    if (atEnd) setFollow(true);
    else if (element.scrollTop < last.current - 2) setFollow(false);
    last.current = element.scrollTop;
    setTop(element.scrollTop);
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    if (follow && element) element.scrollTop = element.scrollHeight;
  }, [follow, rows, rows.height]);
  const goTo = (/** @type {number} */ line) => {
    const element = scroller.current;
    if (!element) return;
    setFollow(false);
    element.scrollTop = Math.max(0, rows.topOf(line) - element.clientHeight / 3);
    last.current = element.scrollTop;
    setTop(element.scrollTop);
  };
  return { follow, setFollow, top, onScroll, goTo };
}

/** @param {{rows: Rows, folded: () => void, issueId: string, search: any}} props */
function Toolbar({ rows, folded, issueId, search }) {
  const model = rows.model;
  const anyOpen = model.sections.some((section) => !section.folded);
  const foldAll = () => {
    model.foldAll(anyOpen);
    folded();
  };
  const foldWord = anyOpen ? t("log.fold_all") : t("log.unfold_all");
  return html`<div class="log-bar">
    <h2>${t("log.title")}</h2><span class="quiet-text" data-lines=${model.lines.length}>${t("log.lines", { n: number(model.lines.length) })}</span>
    <span class="spacer"></span>${search}
    <button type="button" class="button quiet small icon" aria-pressed=${wrapLines.value} aria-label=${t("log.wrap")} title=${t("log.wrap")}
      onClick=${() => setWrapLines(!wrapLines.value)}><${Icon} name="wrap" /></button>
    <button type="button" class="button quiet small icon" aria-label=${foldWord} title=${foldWord} onClick=${foldAll}><${Icon} name="fold" /></button>
    <a class="button quiet small icon" href=${`/api/v1/issues/${issueId}/logs/raw`} download=${`${issueId}.log`} aria-label=${t("log.raw")} title=${t("log.raw")}><${Icon} name="download" /></a>
  </div>`;
}

/** @param {MouseEvent} event @param {number} line */
function link(event, line) {
  event.preventDefault();
  const before = linked();
  const [low, high] = event.shiftKey && before ? [Math.min(before[0], line), Math.max(before[0], line)] : [line, line];
  navigate(`${location.pathname}${location.search}#L${low + 1}${high > low ? `-L${high + 1}` : ""}`, { replace: true });
}

/** @param {{rows: Rows, top: number, height: number, pieces: (line: number) => any, running: boolean, onFold: (section: number) => void, current: number}} props */
function Visible({ rows, top, height, pieces, running, onFold, current }) {
  const first = rows.at(Math.max(0, top - BEYOND_PX));
  const last = rows.at(top + height + BEYOND_PX);
  const mark = linked();
  const shown = [];
  for (let at = first; at <= last && at < rows.rows.length; at += 1) {
    const row = /** @type {number} */ (rows.rows[at]);
    const { sections, lines } = rows.model;
    if (row < 0) {
      const index = -1 - row;
      const isLast = index === sections.length - 1;
      shown.push(html`<${StepHead} key=${`s${index}`} section=${sections[index]} running=${running && isLast && sections[index]?.status === "running"}
        onToggle=${() => onFold(index)} />`);
      continue;
    }
    shown.push(html`<${LogLine} key=${row} line=${row} kind=${lines[row]?.kind} pieces=${pieces(row)} current=${row === current}
      linked=${mark !== null && row >= mark[0] && row <= mark[1]} onLink=${(/** @type {MouseEvent} */ event) => link(event, row)} />`);
  }
  return html`<div class="log-window" style=${{ transform: `translateY(${rows.tops[first] ?? 0}px)` }}>${shown}</div>`;
}

/** @param {{model: LogModel, revision: number, running: boolean, issueId: string, complete: boolean}} props */
export function Log({ model, running, issueId, complete }) {
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const cols = useColumns(scroller);
  const { rows, folded } = useRows(model, cols);
  const mark = linked();
  const { follow, setFollow, top, onScroll, goTo } = useFollow(scroller, rows, mark === null && running);
  const pieces = useMemo(() => painter(model), [model]);
  const [found, setFound] = useState({ words: "", line: -1 });
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useKeys({ "/": () => field.current?.focus() });
  const reached = mark !== null && model.lines.length > mark[0];
  useLayoutEffect(() => {
    if (reached && mark) goTo(mark[0]);
  }, [reached, cols > 0]);
  useEffect(() => highlight(scroller.current, found.words));
  const onFold = (/** @type {number} */ section) => {
    setFollow(false);
    model.toggle(section);
    folded();
  };
  const onFound = (/** @type {string} */ words, /** @type {number} */ line) => {
    setFound({ words, line });
    const section = model.sections[model.lines[line]?.section ?? -1];
    if (section?.folded) onFold(model.sections.indexOf(section));
    if (line >= 0) goTo(line);
  };
  const search = html`<${LogSearch} model=${model} field=${field} onFound=${onFound} />`;
  return html`<section class="log card" aria-label=${t("log.title")}>
    <${Toolbar} rows=${rows} folded=${folded} issueId=${issueId} search=${search} />
    <div class="log-scroll" ref=${scroller} onScroll=${onScroll} tabindex="0" role="log" aria-live="off" aria-label=${t("log.title")} data-wrap=${wrapLines.value}>
      <div class="log-space" style=${{ height: `${rows.height}px` }}>
        <${Visible} rows=${rows} top=${top} height=${scroller.current?.clientHeight ?? 600} pieces=${pieces} running=${running} onFold=${onFold} current=${found.line} />
      </div>
      ${model.lines.length === 0 && html`<p class="log-empty quiet-text">${complete ? (running ? t("log.none_yet") : t("log.none")) : t("loading")}</p>`}
    </div>
    ${!follow && model.lines.length > 30 && html`<button type="button" class="button small log-jump" onClick=${() => setFollow(true)}>
      <${Icon} name="down" />${running ? t("log.follow") : t("log.to_end")}</button>`}
  </section>`;
}
