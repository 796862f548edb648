//@ts-check
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { Icon } from "./icon.js";

/** @typedef {{label: string, icon?: string, danger?: boolean, disabled?: boolean, checked?: boolean, act: () => void}} Item */

const GAP_PX = 4;

/** Beside its button, on top of whatever scrolls there. @param {HTMLElement} root @param {boolean} up @returns {Record<string, string>} */
function placeOf(root, up) {
  const { top, bottom, left, right } = root.getBoundingClientRect();
  const px = (/** @type {number} */ value) => `${Math.round(value)}px`;
  if (up) return { left: px(left), bottom: px(innerHeight - top + GAP_PX) };
  const below = innerHeight - bottom > 180;
  return { right: px(innerWidth - right), ...(below ? { top: px(bottom + GAP_PX) } : { bottom: px(innerHeight - top + GAP_PX) }) };
}

/**
 * @param {{label: string, icon?: string, text?: string, items: Item[], up?: boolean, class?: string}} props
 *   `label` is spoken; `text` is seen beside the icon.
 */
export function Menu({ label, icon = "more", text, items, up = false, class: look = "button quiet small" }) {
  const [at, setAt] = useState(/** @type {Record<string, string> | null} */ (null));
  const open = at !== null;
  const setOpen = (/** @type {boolean} */ on) => setAt(on ? placeOf(/** @type {HTMLElement} */ (root.current), up) : null);
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!open) return undefined;
    const outside = (/** @type {Event} */ event) => {
      if (!(event.target instanceof Node && root.current?.contains(event.target))) setOpen(false);
    };
    const moved = () => setOpen(false);
    document.addEventListener("pointerdown", outside);
    addEventListener("scroll", moved, { capture: true, once: true });
    addEventListener("resize", moved, { once: true });
    /** @type {HTMLElement | null | undefined} */ (root.current?.querySelector(".menu-item:not(:disabled)"))?.focus();
    return () => {
      document.removeEventListener("pointerdown", outside);
      removeEventListener("scroll", moved, { capture: true });
      removeEventListener("resize", moved);
    };
  }, [open]);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (!open) return;
    if (event.key === "Escape" || event.key === "Tab") close();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = /** @type {HTMLElement[]} */ ([...(root.current?.querySelectorAll(".menu-item:not(:disabled)") ?? [])]);
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    all[(at + step + all.length) % all.length]?.focus();
  };
  const close = () => {
    setOpen(false);
    /** @type {HTMLElement | null | undefined} */ (root.current?.querySelector("button"))?.focus();
  };
  return html`<div class="menu" ref=${root} onKeyDown=${onKeyDown}>
    <button type="button" class=${`${look} ${text ? "" : "icon"}`} aria-haspopup="menu" aria-expanded=${open} aria-label=${text ? null : label}
      title=${label} onClick=${() => setOpen(!open)}><${Icon} name=${icon} />${text}</button>
    ${open && html`<div class="menu-list" style=${at} role="menu" aria-label=${label}>
      ${items.map((item) => html`<button type="button" key=${item.label} class=${item.danger ? "menu-item danger" : "menu-item"}
        role=${item.checked === undefined ? "menuitem" : "menuitemradio"} aria-checked=${item.checked} disabled=${item.disabled}
        onClick=${() => { close(); item.act(); }}>
        ${item.checked !== undefined ? html`<${Icon} name=${item.checked ? "check" : ""} />` : item.icon && html`<${Icon} name=${item.icon} />`}${item.label}
      </button>`)}
    </div>`}
  </div>`;
}
