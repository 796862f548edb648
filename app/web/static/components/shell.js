//@ts-check
// The frame around every view: places, freshness, language, scheme, the keyboard's help.
import { useEffect, useState } from "../vendor/hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../lib/html.js";
import { connection, freshUntil } from "../lib/events.js";
import { clock } from "../lib/format.js";
import { LANGUAGES, language, setLanguage, t } from "../lib/i18n.js";
import { useKeys } from "../lib/keys.js";
import { setTheme, theme } from "../lib/prefs.js";
import { navigate, place } from "../lib/router.js";
import { logout, user } from "../lib/session.js";
import { Dialog } from "./dialog.js";
import { Icon, Logo } from "./icon.js";
import { Menu } from "./menu.js";

/** @typedef {import("../lib/i18n.js").Word} Word */

/** @type {{title: Word | null, admin?: boolean, places: {path: string, word: Word, icon: string, key: string}[]}[]} */
const GROUPS = [
  {
    title: null,
    places: [
      { path: "/", word: "place.overview", icon: "overview", key: "o" },
      { path: "/issues", word: "place.issues", icon: "issues", key: "i" },
      { path: "/nodes", word: "place.nodes", icon: "nodes", key: "n" },
    ],
  },
  {
    title: "place.library",
    places: [
      { path: "/projects", word: "place.projects", icon: "projects", key: "p" },
      { path: "/repositories", word: "place.repositories", icon: "repositories", key: "r" },
      { path: "/prompts", word: "place.prompts", icon: "prompts", key: "t" },
      { path: "/credentials", word: "place.credentials", icon: "credentials", key: "c" },
    ],
  },
  {
    title: "place.admin",
    admin: true,
    places: [
      { path: "/users", word: "place.users", icon: "users", key: "u" },
      { path: "/audit", word: "place.audit", icon: "audit", key: "a" },
    ],
  },
];

const railOpen = signal(false);
const helpOpen = signal(false);

/** @param {string} path */
function isHere(path) {
  const at = place.value.path;
  return path === "/" ? at === "/" : at === path || at.startsWith(`${path}/`);
}

/** Says whether what one sees is what is: a broken stream never looks like a quiet fleet. */
export function Freshness() {
  const state = connection.value;
  if (state === "live") {
    return html`<span class="fresh" data-state="live" data-tone="good" role="status"><span class="dot"></span>${t("fresh.live")}</span>`;
  }
  const since = freshUntil.value ? t("fresh.since", { time: clock(freshUntil.value) }) : "";
  const word = state === "connecting" ? t("fresh.connecting") : t("fresh.reconnecting");
  return html`<span class="fresh" data-state=${state} data-tone="warn" role="status"><span class="dot beat"></span>${word} ${since}</span>`;
}

function Places() {
  const shown = GROUPS.filter((group) => !group.admin || user.value?.is_superuser);
  return shown.map(
    ({ title, places }) => html`<div class="places" key=${title ?? "main"}>
      ${title && html`<span class="places-title">${t(title)}</span>`}
      ${places.map(
        ({ path, word, icon, key }) => html`<a class="place" href=${path} key=${path} aria-current=${isHere(path) ? "page" : null}
          title=${`g ${key}`}><${Icon} name=${icon} />${t(word)}</a>`,
      )}
    </div>`,
  );
}

function RailFoot() {
  const icons = { system: "system", light: "sun", dark: "moon" };
  const themes = /** @type {const} */ (["system", "light", "dark"]);
  return html`<div class="rail-foot">
    <a class="place" href="/account" aria-current=${isHere("/account") ? "page" : null}>
      <${Icon} name="account" /><span class="ellipsis">${user.value?.full_name || user.value?.email}</span></a>
    <div class="row-flex">
      <${Menu} label=${t("language")} icon="language" up items=${LANGUAGES.map(({ code, name }) => ({
        label: name,
        checked: language.value === code,
        act: () => void setLanguage(code),
      }))} />
      <${Menu} label=${t("theme")} icon=${icons[theme.value]} up items=${themes.map((each) => ({
        label: t(`theme.${each}`),
        checked: theme.value === each,
        act: () => setTheme(each),
      }))} />
      <button type="button" class="button quiet small icon" onClick=${() => { helpOpen.value = true; }} aria-label=${t("help.title")} title=${t("help.title")}>
        <${Icon} name="keyboard" /></button>
      <button type="button" class="button quiet small icon" onClick=${logout} aria-label=${t("action.logout")} title=${t("action.logout")}><${Icon} name="logout" /></button>
    </div>
  </div>`;
}

/** @param {{title: any, document?: string, children?: any}} props `children` stand at the bar's end. */
export function Bar({ title, document: name, children }) {
  useEffect(() => {
    document.title = `${name ?? title} · Nodeyard`;
  }, [name ?? title]);
  return html`<header class="bar">
    <button type="button" class="button quiet icon menu-button" aria-label=${t("place.menu")} aria-expanded=${railOpen.value}
      onClick=${() => { railOpen.value = true; }}><${Icon} name="menu" /></button>
    <h1>${title}</h1>
    <span class="spacer"></span>
    <${Freshness} />
    ${children}
  </header>`;
}

function Help() {
  const rows = /** @type {[string, Word][]} */ ([
    ...GROUPS.flatMap((group) => group.places.map(({ key, word }) => [`g ${key}`, word])),
    ["/", "help.search"],
    ["j", "help.down"],
    ["k", "help.up"],
    ["Enter", "help.open"],
    ["x", "help.select"],
    ["c", "help.create"],
    ["Esc", "help.back"],
    ["?", "help.help"],
  ]);
  return html`<${Dialog} title=${t("help.title")} size="small" onClose=${() => { helpOpen.value = false; }}>
    <div class="dialog-body"><dl class="help">
      ${rows.map(([keys, word]) => html`<div key=${keys}><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${t(word)}</dd></div>`)}
    </dl></div>
  <//>`;
}

/** @param {{children?: any}} props */
export function Shell({ children }) {
  const [at, setAt] = useState(place.value.path);
  if (at !== place.value.path) {
    setAt(place.value.path);
    railOpen.value = false;
  }
  const go = Object.fromEntries(
    GROUPS.flatMap((group) => group.places.map(({ key, path }) => [`g ${key}`, () => navigate(path)])),
  );
  useKeys({ ...go, "?": () => { helpOpen.value = true; } });
  return html`<div class="frame">
    <a class="skip" href="#view" onClick=${focusView}>${t("skip")}</a>
    ${railOpen.value && html`<button type="button" class="rail-scrim" aria-label=${t("action.close")} onClick=${() => { railOpen.value = false; }}></button>`}
    <nav class="rail" data-open=${railOpen.value} aria-label=${t("place.menu")}>
      <a class="brand" href="/"><${Logo} />Nodeyard</a>
      <${Places} /><${RailFoot} />
    </nav>
    <div class="stage">${children}</div>
    ${helpOpen.value && html`<${Help} />`}
  </div>`;
}

/** @param {Event} event */
function focusView(event) {
  event.preventDefault();
  document.getElementById("view")?.focus();
}

/** The part that scrolls. Dimmed while the page cannot know whether it is still true. @param {{children?: any, class?: string}} props */
export function View({ children, class: look = "" }) {
  const old = connection.value === "reconnecting";
  return html`<main id="view" class=${`view ${look} ${old ? "stale" : ""}`} tabindex="-1">${children}</main>`;
}
