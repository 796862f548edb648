//@ts-check
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

/** Markup as a tagged template. Values are always text, attributes or nodes: never parsed as HTML. */
export const html = /** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */ (
  /** @type {unknown} */ (htm.bind(/** @type {any} */ (h)))
);
