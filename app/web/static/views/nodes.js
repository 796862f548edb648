//@ts-check
// The machines: how they are, what they do, and what operators want of them.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { del, get, patch, post } from "../lib/api.js";
import { all } from "../lib/catalogue.js";
import { bytes, dateTime } from "../lib/format.js";
import { named, t } from "../lib/i18n.js";
import { useKeys } from "../lib/keys.js";
import { useLive } from "../lib/live.js";
import { navigate, place, setQuery } from "../lib/router.js";
import { user } from "../lib/session.js";
import { Connect } from "../components/connect.js";
import { Confirm, FormDialog } from "../components/dialog.js";
import { Icon } from "../components/icon.js";
import { Menu } from "../components/menu.js";
import { Empty, Field, Loading, Problem, Tags } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { nodeState, NodeState } from "../components/status.js";
import { Ago, Elapsed } from "../components/time.js";
import { act } from "../components/toast.js";

const EVERY_MS = 15_000;
const SLOTS_DRAWN = 12;

/** @param {AbortSignal} signal */
async function load(signal) {
  const [nodes, running] = await Promise.all([
    all("nodes", signal),
    get("/issues", { status: "processing", limit: 200 }, signal),
  ]);
  return /** @type {{nodes: NodeOut[], running: IssueOut[]}} */ ({ nodes, running: running.items });
}

/** @param {{node: NodeOut}} props */
function Slots({ node }) {
  const drawn = node.max_slots <= SLOTS_DRAWN;
  return html`<span class="slots" title=${t("nodes.slots_used", { n: node.running, of: node.max_slots })}>
    ${drawn && html`<span class="slot-dots" aria-hidden="true">${Array.from({ length: node.max_slots }, (_, at) => html`<i key=${at} data-used=${at < node.running}></i>`)}</span>`}
    <span>${node.running}/${node.max_slots}</span></span>`;
}

/** @param {{node: NodeOut, onClose: () => void, onPause: (body: any) => void}} props */
function Pause({ node, onClose, onPause }) {
  const [note, setNote] = useState("");
  const [hours, setHours] = useState("");
  const send = async () => onPause({ ...(note.trim() && { note: note.trim() }), ...(hours && { for_s: Number(hours) * 3600 }) });
  return html`<${FormDialog} title=${t("nodes.pause_title", { name: node.name })} size="small" submit=${t("action.pause")} onClose=${onClose} onSubmit=${send}>
    <p class="second">${t("nodes.pause_text")}</p>
    <${Field} label=${t("field.note")} for="pause-note"><input class="input" id="pause-note" name="note" maxlength="500" autofocus value=${note} onInput=${(/** @type {any} */ event) => setNote(event.target.value)} /><//>
    <${Field} label=${t("nodes.pause_for")} for="pause-for"><select class="select" id="pause-for" name="for" value=${hours} onChange=${(/** @type {any} */ event) => setHours(event.target.value)}>
      <option value="">${t("nodes.until_resumed")}</option>${["0.5", "1", "4", "24"].map((each) => html`<option key=${each} value=${each}>${t("nodes.hours", { n: each })}</option>`)}</select><//>
  <//>`;
}

/** @param {{node: NodeOut, onClose: () => void, onSaved: () => void}} props */
function EditNode({ node, onClose, onSaved }) {
  const [name, setName] = useState(node.name);
  const [description, setDescription] = useState(node.description ?? "");
  const save = async () => {
    await patch(`/nodes/${node.id}`, { ...(name !== node.name && { name }), description: description.trim() || null });
    onSaved();
  };
  return html`<${FormDialog} title=${`${t("action.edit")}: ${node.name}`} size="small" submit=${t("action.save")} onClose=${onClose} onSubmit=${save}>
    <${Field} label=${t("field.name")} for="node-name"><input class="input" id="node-name" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
    <${Field} label=${t("field.description")} for="node-description"><input class="input" id="node-description" maxlength="255" value=${description} onInput=${(/** @type {any} */ event) => setDescription(event.target.value)} /><//>
  <//>`;
}

/** @param {NodeOut} node @param {(node: NodeOut) => void} show */
function steer(node, show) {
  return (/** @type {"pause" | "drain" | "resume"} */ verb, /** @type {any} */ body = {}) => {
    const desired = /** @type {const} */ ({ pause: "paused", drain: "draining", resume: "active" })[verb];
    void act({
      now: () => show({ ...node, desired, desired_note: body.note ?? null }),
      undo: () => show(node),
      send: async () => {
        const answer = await post(`/nodes/${node.id}/${verb}`, body);
        if (answer?.id === node.id) show(answer);
      },
      done: t(`nodes.did_${verb}`, { name: node.name }),
    });
  };
}

/** @param {{node: NodeOut, show: (node: NodeOut) => void, open: (dialog: any) => void, close: () => void, refresh: () => void}} props */
function Verbs({ node, show, open, close, refresh }) {
  const go = steer(node, show);
  const pausing = () => open(html`<${Pause} node=${node} onClose=${close} onPause=${(/** @type {any} */ body) => go("pause", body)} />`);
  const remove = () => open(html`<${Confirm} title=${t("crud.delete", { name: node.name })} text=${t("nodes.delete_text")} submit=${t("action.delete")} onClose=${close}
    onConfirm=${async () => { await del(`/nodes/${node.id}`); refresh(); navigate("/nodes", { replace: true }); }} />`);
  const active = node.desired === "active";
  return html`<span class="row-flex node-verbs">
    ${active ? html`<button type="button" class="button small" onClick=${pausing}><${Icon} name="pause" />${t("action.pause")}</button>` : html`<button type="button" class="button small" onClick=${() => go("resume")}><${Icon} name="play" />${t("action.resume")}</button>`}
    <${Menu} label=${`${t("action.more")}: ${node.name}`} items=${[
      { label: t("action.drain"), icon: "drain", disabled: !active, act: () => go("drain") },
      { label: t("action.edit"), icon: "edit", act: () => open(html`<${EditNode} node=${node} onClose=${close} onSaved=${refresh} />`) },
      { label: t("nodes.its_issues"), icon: "issues", act: () => navigate(`/issues?node_id=${node.id}`) },
      { label: t("action.delete"), icon: "trash", danger: true, act: remove },
    ]} /></span>`;
}

/** @param {{node: NodeOut, issues: IssueOut[], tools: any}} props */
function NodeCard({ node, issues, tools }) {
  const marked = place.value.path === `/nodes/${node.id}`;
  const disk = node.disk_free_bytes;
  return html`<li class="card node" data-id=${node.id} data-state=${nodeState(node)} data-marked=${marked}>
    <div class="node-head"><h2 class="ellipsis" title=${node.name}>${node.name}</h2><${NodeState} node=${node} /><span class="spacer"></span><${Slots} node=${node} /></div>
    ${node.desired_note && html`<p class="node-note">${node.desired_note}</p>`}
    ${node.paused_until && html`<p class="node-note">${t("nodes.paused_until", { time: dateTime(node.paused_until) })}</p>`}
    ${node.description && html`<p class="second">${node.description}</p>`}
    <dl class="node-facts">
      <div><dt>${t("nodes.heartbeat")}</dt><dd class=${node.status === "online" ? "" : "quiet-text"}><${Ago} at=${node.last_heartbeat} /></dd></div>
      <div><dt>${t("field.version")}</dt><dd class="mono">${node.version ?? "–"}</dd></div>
      <div><dt>${t("field.address")}</dt><dd class="mono">${node.ip ?? "–"}</dd></div>
      ${disk !== null && disk !== undefined && html`<div><dt>${t("nodes.disk")}</dt><dd>${bytes(disk)}</dd></div>`}
    </dl>
    <div class="tags">${node.tools.map((tool) => html`<span class="tag tool" key=${tool.category} title=${tool.version}>${tool.category}${tool.version ? html` <span class="quiet-text">${tool.version}</span>` : ""}</span>`)}
      <${Tags} words=${node.tags} /></div>
    ${issues.length > 0 && html`<ul class="node-issues">${issues.map((issue) => html`<li key=${issue.id}><a class="row-flex" href=${`/issues/${issue.id}`}><span class="dot beat" data-tone="running"></span><span class="ellipsis">${issue.title}</span>
      ${issue.started_at && html`<span class="when quiet-text"><${Elapsed} since=${issue.started_at} /></span>`}</a></li>`)}</ul>`}
    <div class="node-foot"><${Verbs} node=${node} ...${tools} /></div>
  </li>`;
}

const ORDER = ["busy", "online", "draining", "paused", "offline"];

/** @param {NodeOut[]} nodes */
const sorted = (nodes) =>
  [...nodes].sort((a, b) => ORDER.indexOf(nodeState(a)) - ORDER.indexOf(nodeState(b)) || a.name.localeCompare(b.name));

/** @param {{nodes: NodeOut[]}} props */
function Summary({ nodes }) {
  const chosen = place.value.query.get("state") ?? "";
  const count = (/** @type {string} */ state) => nodes.filter((node) => nodeState(node) === state).length;
  return html`<div class="chips" role="group" aria-label=${t("field.state")}>${ORDER.map((state) => html`<button type="button" key=${state} class="chip" aria-pressed=${chosen === state}
    onClick=${() => setQuery({ state: chosen === state ? null : state })}>${named("node", state === "online" ? "idle" : state)} <span class="quiet-text">${count(state)}</span></button>`)}</div>`;
}

export default function Nodes() {
  const live = useLive(load, [], { on: ["node", "issue", "deleted"], everyMs: EVERY_MS });
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const connecting = place.value.query.get("connect");
  const connect = () => setQuery({ connect: "1" });
  useKeys({ c: connect });
  const { nodes, running } = live.data ?? { nodes: /** @type {NodeOut[]} */ ([]), running: /** @type {IssueOut[]} */ ([]) };
  const state = place.value.query.get("state");
  const show = (/** @type {NodeOut} */ changed) => live.set((data) => ({ ...data, nodes: data.nodes.map((each) => (each.id === changed.id ? { ...each, ...changed } : each)) }));
  const tools = { show, open: setDialog, close: () => setDialog(null), refresh: live.refresh };
  const may = user.value?.is_superuser;
  const button = may && html`<button type="button" class="button primary" onClick=${connect}><${Icon} name="plus" />${t("nodes.connect")}</button>`;
  return html`<${Bar} title=${t("place.nodes")}>${button}<//>
    <${View}><div class="pad stack">
      ${live.error && html`<${Problem} problem=${live.error} retry=${live.refresh} />`}
      ${!live.data && !live.error && html`<${Loading} rows=${6} />`}
      ${live.data && nodes.length === 0 && html`<section class="card"><${Empty} icon="nodes" title=${t("nodes.none")} text=${t("overview.first_node_text")}>${button}<//></section>`}
      ${nodes.length > 0 && html`<${Summary} nodes=${nodes} />`}
      <ul class="node-grid">${sorted(nodes).filter((node) => !state || nodeState(node) === state).map((node) => html`<${NodeCard} key=${node.id} node=${node} tools=${tools} issues=${running.filter((issue) => issue.assigned_node_id === node.id)} />`)}</ul>
    </div><//>
    ${connecting && may && html`<${Connect} onClose=${() => setQuery({ connect: null })} />`}
    ${dialog}`;
}
