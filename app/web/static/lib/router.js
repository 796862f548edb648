//@ts-check
// The address bar is the state: views read it, and filters write it.
import { signal } from "../vendor/signals.js";

/** @typedef {{path: string, query: URLSearchParams, hash: string}} Place */

/** @returns {Place} */
const here = () => ({
  path: location.pathname.replace(/\/+$/, "") || "/",
  query: new URLSearchParams(location.search),
  hash: location.hash.slice(1),
});

export const place = signal(here());

/** @param {string} to @param {{replace?: boolean}} [options] */
export function navigate(to, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = here();
}

/**
 * Changes the given words of the address alone; null, "" and undefined take a word away.
 * @param {Record<string, string | null | undefined>} words
 */
export function setQuery(words) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(words)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  navigate(`${location.pathname}${text ? `?${text}` : ""}${location.hash}`, { replace: true });
}

addEventListener("popstate", () => {
  place.value = here();
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || /^\/(api|schema)\b/.test(link.pathname)) return;
  event.preventDefault();
  navigate(link.pathname + link.search + link.hash);
});
