//@ts-check
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Icon } from "./icon.js";
import { complain } from "./toast.js";

/**
 * A modal dialog of the browser: it keeps the focus in, Escape closes it, and the focus goes back.
 * @param {{title: string, size?: "small" | "large", onClose: () => void, children?: any, foot?: any}} props
 */
export function Dialog({ title, size, onClose, children, foot }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const onBackdrop = (/** @type {MouseEvent} */ event) => {
    if (event.target === ref.current) onClose();
  };
  return html`<dialog ref=${ref} class=${size ?? ""} aria-labelledby="dialog-title" onMouseDown=${onBackdrop}
    onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}>
    <div class="dialog-head">
      <h2 id="dialog-title">${title}</h2>
      <button type="button" class="button quiet small icon" onClick=${onClose} aria-label=${t("action.close")}><${Icon} name="close" /></button>
    </div>
    ${foot ? html`<div class="dialog-body">${children}</div><div class="dialog-foot">${foot}</div>` : children}
  </dialog>`;
}

/**
 * A dialog that sends a form: stays open on refusal, with the server's words beside the fields.
 * @param {{title: string, size?: "small" | "large", submit: string, danger?: boolean, onClose: () => void,
 *   onSubmit: () => Promise<unknown>, onRefused?: (problem: unknown) => boolean, children?: any, aside?: any}} props
 *   `onRefused` returns true when it has shown the problem itself.
 */
export function FormDialog({ title, size, submit, danger, onClose, onSubmit, onRefused, children, aside }) {
  const [busy, setBusy] = useState(false);
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    try {
      await onSubmit();
      onClose();
    } catch (problem) {
      if (!onRefused?.(problem)) complain(problem);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} size=${size} onClose=${onClose}>
    <form class="dialog-form" onSubmit=${send} noValidate>
      <div class="dialog-body">${children}</div>
      <div class="dialog-foot">
        ${aside}<span class="spacer"></span>
        <button type="button" class="button" onClick=${onClose}>${t("action.cancel_dialog")}</button>
        <button class=${`button primary ${danger ? "danger" : ""}`} disabled=${busy}>${submit}</button>
      </div>
    </form>
  <//>`;
}

/**
 * Asked only before what cannot be undone.
 * @param {{title: string, text: string, submit: string, onConfirm: () => Promise<unknown>, onClose: () => void}} props
 */
export function Confirm({ title, text, submit, onConfirm, onClose }) {
  return html`<${FormDialog} title=${title} size="small" submit=${submit} danger onClose=${onClose} onSubmit=${onConfirm}>
    <p>${text}</p>
  <//>`;
}
