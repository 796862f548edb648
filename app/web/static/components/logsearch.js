//@ts-check
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { number } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Icon } from "./icon.js";

const TYPING_MS = 150;

/** Marks the words wherever they are in sight, also across colours, without touching the lines. @param {HTMLElement | null} root @param {string} words */
export function highlight(root, words) {
  if (!("highlights" in CSS)) return;
  CSS.highlights.delete("found");
  if (!root || !words) return;
  const wanted = words.toLowerCase();
  const ranges = [];
  for (const element of root.querySelectorAll(".log-text")) {
    const text = (element.textContent ?? "").toLowerCase();
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      ranges.push(rangeOf(element, at, at + wanted.length));
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

/** @param {Element} element @param {number} from @param {number} to */
function rangeOf(element, from, to) {
  const range = document.createRange();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let passed = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const length = node.textContent?.length ?? 0;
    if (from >= passed && from < passed + length) range.setStart(node, from - passed);
    if (to > passed && to <= passed + length) range.setEnd(node, to - passed);
    passed += length;
  }
  return range;
}

/**
 * @param {{model: import("../lib/logmodel.js").LogModel, field: {current: HTMLInputElement | null}, onFound: (words: string, line: number) => void}} props
 */
export function LogSearch({ model, field, onFound }) {
  const [words, setWords] = useState("");
  const [found, setFound] = useState({ lines: /** @type {number[]} */ ([]), at: -1 });
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const look = (/** @type {string} */ wanted) => {
    const lines = wanted ? model.find(wanted) : [];
    setFound({ lines, at: lines.length > 0 ? 0 : -1 });
    onFound(wanted, lines[0] ?? -1);
  };
  const typed = (/** @type {any} */ event) => {
    const wanted = event.target.value;
    setWords(wanted);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => look(wanted), TYPING_MS);
  };
  const step = (/** @type {number} */ by) => {
    const lines = model.find(words);
    if (!words || lines.length === 0) return;
    const at = (found.at + by + lines.length) % lines.length;
    setFound({ lines, at });
    onFound(words, lines[at] ?? -1);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") {
      setWords("");
      look("");
      field.current?.blur();
    }
  };
  const told = found.lines.length ? `${number(found.at + 1)}/${number(found.lines.length)}` : t("log.not_found");
  return html`<div class="search log-search"><${Icon} name="search" />
    <input ref=${field} class="input" type="search" value=${words} placeholder=${t("log.search")} aria-label=${t("log.search")} onInput=${typed} onKeyDown=${onKeyDown} />
    ${words && html`<span class="log-count quiet-text" role="status">${told}</span>`}
  </div>`;
}
