//@ts-check
// Ten thousand rows of which only those in sight are on the page.
import { useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";

const BEYOND = 10;

/**
 * The rows of a scrolling element that are in sight.
 * @param {{count: number, rowHeight: number}} size
 */
export function useWindow({ count, rowHeight }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const [range, setRange] = useState({ first: 0, last: 60 });
  const measure = () => {
    const element = root.current;
    if (!element) return;
    const scroller = /** @type {HTMLElement} */ (element.closest(".view"));
    const above = element.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-above / rowHeight) - BEYOND);
    const last = Math.min(count, Math.ceil((scroller.clientHeight - above) / rowHeight) + BEYOND);
    setRange((before) => (before.first === first && before.last === last ? before : { first, last }));
  };
  const newest = useRef(measure);
  newest.current = measure;
  useLayoutEffect(() => newest.current(), [count, rowHeight]);
  useEffect(() => {
    const scroller = root.current?.closest(".view");
    const move = () => newest.current();
    scroller?.addEventListener("scroll", move, { passive: true });
    addEventListener("resize", move);
    return () => {
      scroller?.removeEventListener("scroll", move);
      removeEventListener("resize", move);
    };
  }, []);
  return { root, first: Math.min(range.first, count), last: Math.min(range.last, count) };
}

/**
 * @param {{count: number, rowHeight: number, row: (at: number) => any, onRange: (last: number) => void, label: string}} props
 */
export function VirtualRows({ count, rowHeight, row, onRange, label }) {
  const { root, first, last } = useWindow({ count, rowHeight });
  useEffect(() => onRange(last), [last]);
  const rows = [];
  for (let at = first; at < last; at += 1) rows.push(row(at));
  return html`<div ref=${root} class="virtual" role="rowgroup" aria-label=${label} style=${{ height: `${count * rowHeight}px` }}>
    <div class="virtual-window" style=${{ transform: `translateY(${first * rowHeight}px)` }}>${rows}</div>
  </div>`;
}
