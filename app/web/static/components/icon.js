//@ts-check
import { html } from "../lib/html.js";

/** Drawn on a 16-unit grid with a stroke of 1.5. @type {Record<string, string>} */
const PATHS = {
  overview: "M2.5 9.5h4v4h-4zM2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM9.5 9.5h4v4h-4z",
  issues: "M3 4h10M3 8h10M3 12h6",
  nodes: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  projects: "M2 4.5h4.2l1.3 1.6H14v6.9H2z",
  repositories: "M5 3.2v9.6M5 4.8a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM5 14.4a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6c0 3-6.5 1.6-6.5 4.4",
  prompts: "M2.5 3h11v8h-6L4 13.5V11H2.5z",
  credentials: "M10.3 9.2a3.3 3.3 0 1 0-3-2.1L2.5 12v1.8h2.2v-1.6h1.7v-1.6h1.5zM11 5.2h.01",
  users: "M6 7.5a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6zM1.8 13.2c.2-2.4 1.9-3.7 4.2-3.7s4 1.3 4.2 3.7M10.8 3.2a2.2 2.2 0 0 1 0 4.1M12 9.8c1.4.5 2.1 1.7 2.2 3.4",
  audit: "M4 2.5h8v11H4zM6.2 5.6h3.6M6.2 8h3.6M6.2 10.4h2",
  account: "M8 7.6a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM2.8 13.8C3 11 5.2 9.6 8 9.6s5 1.4 5.2 4.2",
  logout: "M6.5 2.8H3v10.4h3.5M10.4 5.2 13.2 8l-2.8 2.8M13 8H6.5",
  search: "M7 11.6a4.6 4.6 0 1 0 0-9.2 4.6 4.6 0 0 0 0 9.2zM10.4 10.4l3.2 3.2",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3.4 8.4l3 3 6.2-6.6",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  down: "M4 6.2 8 10l4-3.8",
  right: "M6.2 4 10 8l-3.8 4",
  up: "M8 13V3.4M4 7.2l4-4 4 4",
  less: "M8 3v9.6M4 8.8l4 4 4-4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2 12.2 8 5 12.8z",
  drain: "M3 3h10M8 5.8v7M5 10l3 3 3-3",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M13 2.4v2.9h-2.9",
  stop: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM3.8 3.8l8.4 8.4",
  trash: "M3 4.5h10M6 4.5V2.8h4v1.7M4.3 4.5l.6 8.7h6.2l.6-8.7",
  edit: "M3 13l.6-2.8 7.2-7.2 2.2 2.2-7.2 7.2z",
  eye: "M1.5 8S4 3.6 8 3.6 14.5 8 14.5 8 12 12.4 8 12.4 1.5 8 1.5 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z",
  wrap: "M2.5 4h11M2.5 8h9a2.2 2.2 0 0 1 0 4.4H8.4M10 10.6l-1.8 1.8L10 14.2M2.5 12h2.6",
  download: "M8 2.5v7.8M4.6 7.2 8 10.6l3.4-3.4M3 13.2h10",
  fold: "M4 3l4 3 4-3M4 13l4-3 4 3M2.5 8h11",
  branch: "M4.5 5v6M4.5 5a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM4.5 14.2a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 6.6c0 2.8-5 2-7 4.2",
  merge: "M4.5 5v6M4.5 5a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM4.5 14.2a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM11.5 10.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2zM4.5 5.2c.6 2.6 2.6 3.9 5.4 3.8",
  board: "M2.5 3h3.2v10H2.5zM6.9 3h3.2v6.5H6.9zM11.3 3h2.2v8h-2.2z",
  table: "M2.5 3h11v10h-11zM2.5 6.4h11M2.5 9.8h11M6 6.4V13",
  warning: "M8 2.4 14.4 13.4H1.6zM8 6.4v3.2M8 11.6h.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.4v3.4M8 5.2h.01",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.4",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  key: "M5.2 10.8a2.9 2.9 0 1 0 0-5.8 2.9 2.9 0 0 0 0 5.8zM8 8h6v2.2M11.4 8v1.8",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M3.3 12.7l1-1M11.7 4.3l1-1",
  moon: "M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7z",
  system: "M2 3h12v8H2zM5.5 13.5h5",
  language: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM2 8h12M8 2c2 1.8 2.6 3.8 2.6 6S10 12.2 8 14c-2-1.8-2.6-3.8-2.6-6S6 3.8 8 2z",
  keyboard: "M1.5 4h13v8h-13zM4 6.6h.01M6.6 6.6h.01M9.2 6.6h.01M11.8 6.6h.01M4.6 9.4h6.8",
};

/** @param {{name: string, label?: string}} props */
export function Icon({ name, label }) {
  return html`<svg class="i" viewBox="0 0 16 16" role=${label ? "img" : null} aria-label=${label} aria-hidden=${label ? null : "true"}>
    <path d=${PATHS[name] ?? ""} />
  </svg>`;
}

export function Logo() {
  return html`<svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#4c4fd6" />
    <path d="M10 22V10l12 12V10" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" />
    <circle cx="10" cy="10" r="2.6" fill="#fff" /><circle cx="22" cy="22" r="2.6" fill="#fff" />
    <circle cx="10" cy="22" r="2.6" fill="#b9bbff" /><circle cx="22" cy="10" r="2.6" fill="#b9bbff" />
  </svg>`;
}
