//@ts-check
import { html } from "../lib/html.js";
import { del, get, put } from "../lib/api.js";
import { useCatalogue } from "../lib/catalogue.js";
import { dateTime } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { Crud } from "../components/crud.js";
import { Dialog } from "../components/dialog.js";
import { Loading } from "../components/parts.js";
import { NodeState } from "../components/status.js";
import { Ago } from "../components/time.js";
import { act } from "../components/toast.js";

const CATEGORIES = ["claude-code", "cursor", "github-copilot"];

/** @param {{row: CredentialOut}} props */
function State({ row }) {
  if (row.is_disabled) {
    return html`<span class="status" data-tone="bad" title=${row.disabled_reason}><span class="dot"></span>${t("state.disabled")}</span>
      ${row.disabled_reason && html`<div class="quiet-text reason">${row.disabled_reason}</div>`}`;
  }
  const cooling = row.cooldown_until && Date.parse(row.cooldown_until) > Date.now();
  if (cooling) return html`<span class="status" data-tone="warn" title=${dateTime(row.cooldown_until ?? "")}><span class="dot"></span>${t("state.cooling")} <${Ago} at=${row.cooldown_until} /></span>`;
  return html`<span class="status" data-tone="good"><span class="dot"></span>${t("state.usable")}</span>`;
}

/** Which nodes may use it; a tick is sent at once. @param {{row: CredentialOut, onClose: () => void}} props */
function Links({ row, onClose }) {
  const nodes = useCatalogue("nodes").items;
  const load = async (/** @type {AbortSignal} */ signal) => {
    const answer = await get(`/credentials/${row.id}/nodes`, { limit: 200 }, signal);
    return /** @type {string[]} */ ((answer.items ?? answer).map((/** @type {any} */ each) => each.node_id ?? each.id ?? each));
  };
  const linked = useLive(load, [row.id]);
  const toggle = (/** @type {string} */ id, /** @type {boolean} */ on) =>
    void act({
      now: () => linked.set((ids) => (on ? [...ids, id] : ids.filter((each) => each !== id))),
      undo: () => linked.refresh(),
      send: () => (on ? put(`/credentials/${row.id}/nodes/${id}`) : del(`/credentials/${row.id}/nodes/${id}`)),
    });
  const ids = new Set(linked.data ?? []);
  return html`<${Dialog} title=${t("credentials.links_of", { title: row.title })} size="small" onClose=${onClose}><div class="dialog-body">
    <p class="second">${t("credentials.links_text")}</p>
    ${!linked.data && html`<${Loading} />`}
    ${linked.data && nodes.length === 0 && html`<p class="quiet-text">${t("nodes.none")}</p>`}
    ${linked.data && nodes.map((node) => html`<label class="check" key=${node.id}><input type="checkbox" checked=${ids.has(node.id)} onChange=${(/** @type {any} */ event) => toggle(node.id, event.target.checked)} />
      <span class="ellipsis">${node.name}</span><span class="spacer"></span><${NodeState} node=${node} /></label>`)}
  </div><//>`;
}


/** @type {import("../components/crud.js").Kind} */
const CREDENTIALS = {
  resource: "credentials",
  type: "credential",
  spent: "credentials",
  title: "place.credentials",
  create: "credentials.create",
  empty: "credentials.none",
  emptyText: "credentials.none_text",
  icon: "credentials",
  name: (row) => row.title,
  deleteText: "credentials.delete_text",
  columns: [
    { label: "field.title", look: "fill", cell: (row) => html`<strong class="ellipsis">${row.title}</strong><span class="quiet-text mono">••••${row.pat_last4}</span>` },
    { label: "field.category", cell: (row) => html`<span class="tag">${row.category}</span>` },
    { label: "field.state", cell: (row) => html`<${State} row=${row} />` },
    { label: "field.last_used", cell: (row) => html`<span class="quiet-text"><${Ago} at=${row.last_used_at} /></span>` },
    { label: "field.max_running", look: "num", cell: (row) => row.max_running ?? html`<span class="quiet-text">${t("state.no_limit")}</span>` },
  ],
  inputs: [
    { name: "title", label: "field.title", required: true, wide: true },
    { name: "category", label: "field.category", kind: "select", choices: CATEGORIES, start: CATEGORIES[0] },
    { name: "max_running", label: "field.max_running", hint: "hint.max_running", kind: "number" },
    { name: "pat", label: "field.secret", hint: "hint.secret", kind: "password", wide: true },
    { name: "is_disabled", label: "field.is_disabled", kind: "check" },
  ],
  items: (row, tools) => [
    { label: t("credentials.links"), icon: "nodes", act: () => tools.open(html`<${Links} row=${row} onClose=${tools.close} />`) },
    row.is_disabled
      ? { label: t("action.enable"), icon: "play", act: () => tools.change(row, { is_disabled: false }) }
      : { label: t("action.disable"), icon: "pause", act: () => tools.change(row, { is_disabled: true }) },
  ],
};

export default () => html`<${Crud} kind=${CREDENTIALS} />`;
