//@ts-check
import { useEffect, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { dateTime } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { place, setQuery } from "../lib/router.js";
import { Icon } from "../components/icon.js";
import { Empty, Loading, Problem } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { Ago } from "../components/time.js";

const EVERY_MS = 15_000;
const PAGE = 100;
/** @type {Record<string, string>} */
const WHERE = { issue: "/issues/", node: "/nodes/" };

/** @param {{event: AuditOut}} props */
function Row({ event }) {
  const where = WHERE[event.object_type];
  const detail = Object.entries(event.detail ?? {});
  return html`<tr>
    <td class="quiet-text" title=${dateTime(event.at)}><${Ago} at=${event.at} /></td>
    <td><span class="row-flex"><${Icon} name=${event.actor_kind === "node" ? "nodes" : event.actor_kind === "system" ? "overview" : "account"} /><span class="ellipsis">${event.actor_name ?? named("actor", event.actor_kind)}</span></span></td>
    <td><span class="mono">${event.action}</span></td>
    <td>${named("object", event.object_type)} ${event.object_id && (where ? html`<a class="link mono" href=${where + event.object_id}>${event.object_id.slice(-6)}</a>` : html`<span class="mono quiet-text" title=${event.object_id}>${event.object_id.slice(-6)}</span>`)}</td>
    <td class="fill"><span class="ellipsis mono quiet-text" title=${JSON.stringify(event.detail)}>${detail.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("  ")}</span></td>
    <td class="mono quiet-text">${event.address}</td>
  </tr>`;
}

export default function Audit() {
  const q = place.value.query.get("q") ?? "";
  const [older, setOlder] = useState(/** @type {{items: AuditOut[], cursor: string | null | undefined}} */ ({ items: [], cursor: undefined }));
  const live = useLive((signal) => get("/audit", { limit: PAGE, q }, signal), [q], { on: ["issue", "deleted"], everyMs: EVERY_MS });
  useEffect(() => setOlder({ items: [], cursor: undefined }), [q]);
  const page = live.data;
  const cursor = older.cursor === undefined ? page?.next_cursor : older.cursor;
  const more = async () => {
    const next = await get("/audit", { limit: PAGE, q, cursor });
    setOlder({ items: [...older.items, ...next.items], cursor: next.next_cursor });
  };
  const known = new Set(page?.items.map((/** @type {AuditOut} */ each) => each.id));
  const rows = page ? [...page.items, ...older.items.filter((each) => !known.has(each.id))] : [];
  return html`<${Bar} title=${t("place.audit")} />
    <${View}><div class="pad stack">
      <div class="search audit-search"><${Icon} name="search" /><input class="input" type="search" placeholder=${t("audit.search")} aria-label=${t("audit.search")} value=${q} onChange=${(/** @type {any} */ event) => setQuery({ q: event.target.value })} /></div>
      ${live.error && html`<${Problem} problem=${live.error} retry=${live.refresh} />`}
      ${!page && !live.error && html`<${Loading} rows=${8} />`}
      ${page && rows.length === 0 && html`<section class="card"><${Empty} icon="audit" title=${t("audit.none")} /></section>`}
      ${rows.length > 0 && html`<div class="card scroll-x"><table class="table audit"><thead><tr><th>${t("field.when")}</th><th>${t("field.who")}</th><th>${t("field.action")}</th><th>${t("field.object")}</th><th>${t("field.detail")}</th><th>${t("field.address")}</th></tr></thead>
        <tbody>${rows.map((event) => html`<${Row} key=${event.id} event=${event} />`)}</tbody></table></div>`}
      ${cursor && html`<button type="button" class="button" onClick=${more}>${t("action.older")}</button>`}
    </div><//>`;
}
