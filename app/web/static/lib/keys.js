//@ts-check
// The keyboard: single keys and two-key sequences, off while one types or a dialog is open.
import { useLayoutEffect, useRef } from "../vendor/hooks.js";

const SEQUENCE_MS = 1200;

/** @typedef {{keys: string, act: (event: KeyboardEvent) => void}} Binding */

/** @type {Set<Binding>} */
const bindings = new Set();
let prefix = "";
let prefixAt = 0;

/** @param {EventTarget | null} target */
function typing(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target instanceof HTMLInputElement && target.type !== "checkbox";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  const sequence = prefix && performance.now() - prefixAt < SEQUENCE_MS ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  const found = [...bindings].reverse().find((binding) => binding.keys === sequence);
  if (found) {
    event.preventDefault();
    found.act(event);
  } else if ([...bindings].some((binding) => binding.keys.startsWith(`${event.key} `))) {
    prefix = event.key;
    prefixAt = performance.now();
  }
});

/**
 * Binds while the component is on the page, from before it is seen; the newest binding of a key wins.
 * @param {Record<string, (event: KeyboardEvent) => void>} keys such as `{"/": …, "g i": …}`
 */
export function useKeys(keys) {
  const newest = useRef(keys);
  newest.current = keys;
  useLayoutEffect(() => {
    const own = Object.keys(newest.current).map((name) => ({
      keys: name,
      act: (/** @type {KeyboardEvent} */ event) => newest.current[name]?.(event),
    }));
    for (const binding of own) bindings.add(binding);
    return () => {
      for (const binding of own) bindings.delete(binding);
    };
  }, [Object.keys(keys).join()]);
}
