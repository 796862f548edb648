//@ts-check
import { useEffect, useRef } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { hourOf, number } from "../lib/format.js";
import { language, t } from "../lib/i18n.js";
import { theme } from "../lib/prefs.js";

/** @typedef {import("../vendor/uplot.js").default} uPlot */
/** @typedef {typeof import("../vendor/uplot.js").default} Library */

const HEIGHT = 190;

/** What a custom property is in the current scheme: a canvas knows no `light-dark()`. @param {HTMLElement} root @param {string} name */
function colour(root, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  root.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * Stacked bars: what completed, with what failed on top of it.
 * @param {ThroughputOut[]} hours
 * @returns {[number[], number[], number[]]}
 */
function stacked(hours) {
  const at = hours.map((each) => Date.parse(each.hour) / 1000);
  return [at, hours.map((each) => each.completed + each.failed), hours.map((each) => each.completed)];
}

/** @param {Library} library @param {HTMLElement} root @param {ThroughputOut[]} hours */
function options(library, root, hours) {
  const ink = colour(root, "--ink-3");
  const line = colour(root, "--line");
  const font = `11px ${getComputedStyle(root).fontFamily}`;
  const bars = /** @type {any} */ (library).paths.bars({ size: [0.62, 22], align: 1, radius: 0.16 });
  const axis = { stroke: ink, font, ticks: { show: false }, gap: 6 };
  return /** @type {import("../vendor/uplot.js").default.Options} */ ({
    width: root.clientWidth,
    height: HEIGHT,
    padding: [10, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { setScale: false } },
    scales: {
      x: { range: (_plot, low, high) => [low - 1800, high + 3600] },
      y: { range: (_plot, _low, high) => [0, Math.max(4, Math.ceil(high * 1.12))] },
    },
    axes: [
      { ...axis, size: 26, grid: { show: false }, space: 56, values: (_plot, splits) => splits.map((at) => hourOf(at * 1000)) },
      { ...axis, size: 34, grid: { stroke: line, width: 1 }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000], space: 32 },
    ],
    series: [
      {},
      { label: t("chart.failed"), fill: colour(root, "--bad"), width: 0, paths: bars, points: { show: false } },
      { label: t("chart.completed"), fill: colour(root, "--accent"), width: 0, paths: bars, points: { show: false } },
    ],
    hooks: { setCursor: [(plot) => tell(root, plot, hours)] },
  });
}

/** @param {HTMLElement} root @param {uPlot} plot @param {ThroughputOut[]} hours */
function tell(root, plot, hours) {
  const at = plot.cursor.idx;
  const hour = at === null || at === undefined ? undefined : hours[at];
  const note = /** @type {HTMLElement} */ (root.querySelector(".chart-note"));
  note.hidden = !hour || (plot.cursor.left ?? -1) < 0;
  if (!hour) return;
  const values = { completed: number(hour.completed), failed: number(hour.failed) };
  note.textContent = `${hourOf(hour.hour)}  ${t("chart.note", values)}`;
}

/** @param {{hours: ThroughputOut[]}} props */
export function Throughput({ hours }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const total = hours.reduce((sum, each) => sum + each.completed, 0);
  const failed = hours.reduce((sum, each) => sum + each.failed, 0);
  const look = `${language.value} ${theme.value}`;
  useEffect(() => {
    const place = /** @type {HTMLElement} */ (root.current);
    /** @type {uPlot | null} */
    let plot = null;
    let current = true;
    const draw = async () => {
      // The numbers above the chart need not wait for the library that draws it.
      const { default: library } = await import("../vendor/uplot.js");
      if (!current) return;
      plot?.destroy();
      plot = new library(options(library, place, hours), stacked(hours), place);
    };
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const resized = new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: HEIGHT }));
    void draw();
    resized.observe(place);
    scheme.addEventListener("change", draw);
    return () => {
      current = false;
      resized.disconnect();
      scheme.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [JSON.stringify(hours), look]);
  return html`<div class="chart" role="img" aria-label=${t("chart.spoken", { n: number(total), failed: number(failed) })}>
    <div ref=${root}><span class="chart-note" hidden></span></div>
  </div>`;
}
