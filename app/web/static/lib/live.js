//@ts-check
// Data that keeps itself current: fetched once, again when an event concerns it, and never more than once a second.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { signal } from "../vendor/signals.js";
import { serverNow } from "./api.js";
import { subscribe } from "./events.js";

const AGAIN_AFTER_MS = 1000;

/** The server's time in ms, ticking every second. Read it inside a component of its own. */
export const now = signal(serverNow());
setInterval(() => {
  if (!document.hidden) now.value = serverNow();
}, 1000);
document.addEventListener("visibilitychange", () => {
  now.value = serverNow();
});

/**
 * Calls `run` at once and again when asked, one at a time; many asks in a second become one.
 * @param {(signal: AbortSignal) => Promise<void>} run
 * @param {number} [everyMs] the shortest time between two starts
 */
export function repeater(run, everyMs = AGAIN_AFTER_MS) {
  const ended = new AbortController();
  let busy = false;
  let again = false;
  let last = -Infinity;
  let timer = 0;
  const go = async () => {
    timer = 0;
    busy = true;
    again = false;
    last = performance.now();
    try {
      await run(ended.signal);
    } finally {
      busy = false;
      if (again && !ended.signal.aborted) ask();
    }
  };
  const ask = () => {
    if (ended.signal.aborted || timer) return;
    if (busy) {
      again = true;
      return;
    }
    const wait = Math.max(0, last + everyMs - performance.now());
    if (wait === 0) void go();
    else timer = setTimeout(go, wait);
  };
  const stop = () => {
    ended.abort();
    clearTimeout(timer);
  };
  return { ask, stop };
}

/**
 * @template T
 * @typedef {{data: T | undefined, error: any, refresh: () => void, set: (change: (data: T) => T) => void}} Live
 */

/**
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} deps fetched anew when one of them changes
 * @param {{on?: string[], everyMs?: number, concerns?: (event: any, type: string) => boolean}} [options]
 *   `on`: event types after which the data may have changed; `concerns` narrows them.
 * @returns {Live<T>}
 */
export function useLive(load, deps, { on = [], everyMs = 0, concerns } = {}) {
  const [state, setState] = useState(/** @type {{data: T | undefined, error: any}} */ ({ data: undefined, error: null }));
  const asking = useRef(() => {});
  const newest = useRef({ load, concerns });
  newest.current = { load, concerns };
  useEffect(() => {
    const { ask, stop } = repeater(async (signal) => {
      try {
        const data = await newest.current.load(signal);
        if (!signal.aborted) setState({ data, error: null });
      } catch (error) {
        if (!signal.aborted) setState((before) => ({ data: before.data, error }));
      }
    });
    asking.current = ask;
    const heard = (/** @type {string} */ type) => (/** @type {any} */ event) => {
      if (newest.current.concerns?.(event, type) ?? true) ask();
    };
    const ends = [...on.map((type) => subscribe(type, heard(type))), subscribe("reset", ask)];
    const timer = everyMs ? setInterval(ask, everyMs) : 0;
    ask();
    return () => {
      stop();
      clearInterval(timer);
      for (const end of ends) end();
    };
  }, deps);
  return {
    ...state,
    refresh: () => asking.current(),
    set: (change) => setState((before) => (before.data === undefined ? before : { ...before, data: change(before.data) })),
  };
}

/**
 * Every row of a list that is small by nature (projects, nodes, prompts): page by page to its end.
 * @param {(cursor: string | undefined) => Promise<{items: any[], next_cursor: string | null}>} page
 */
export async function everything(page) {
  const items = [];
  let cursor = /** @type {string | undefined} */ (undefined);
  do {
    const answer = await page(cursor);
    items.push(...answer.items);
    cursor = answer.next_cursor ?? undefined;
  } while (cursor && items.length < 2000);
  return items;
}
