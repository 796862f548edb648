//@ts-check
// Lists of small things with a form each: projects, repositories, prompts, credentials, users.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { ApiError, del, patch, post } from "../lib/api.js";
import { all } from "../lib/catalogue.js";
import { t } from "../lib/i18n.js";
import { useKeys } from "../lib/keys.js";
import { useLive } from "../lib/live.js";
import { Confirm, FormDialog } from "./dialog.js";
import { Icon } from "./icon.js";
import { Menu } from "./menu.js";
import { Empty, Field, Loading, Problem } from "./parts.js";
import { Bar, View } from "./shell.js";
import { SpentOn } from "./spent.js";
import { act } from "./toast.js";

// No event tells of these things; who changes one sees it at once, others soon.
const EVERY_MS = 30_000;

/** @typedef {import("../lib/i18n.js").Word} Word */
/**
 * @typedef {object} Input
 * @property {string} name of the API
 * @property {Word} label
 * @property {"text" | "area" | "check" | "number" | "select" | "password" | "email" | "tags"} [kind]
 * @property {Word} [hint]
 * @property {boolean} [wide]
 * @property {boolean} [code]
 * @property {boolean} [required]
 * @property {"create" | "edit"} [only]
 * @property {string[]} [choices]
 * @property {string} [placeholder]
 * @property {any} [start]
 */
/** @typedef {{label: Word, look?: string, cell: (row: any) => any}} Column */
/**
 * @typedef {object} Kind
 * @property {import("../lib/catalogue.js").Resource | "users"} resource
 * @property {string} type the name in events
 * @property {Word} title
 * @property {Word} create
 * @property {Word} empty
 * @property {Word} emptyText
 * @property {string} icon
 * @property {(row: any) => string} name
 * @property {Word} deleteText
 * @property {Column[]} columns
 * @property {Input[]} inputs
 * @property {(row: any, tools: RowTools) => import("./menu.js").Item[]} [items] more for a row's menu
 * @property {"projects" | "credentials"} [spent] whose single objects say what was spent
 * @property {(row: any, onClose: () => void, refresh: () => void) => any} [editor] instead of the form
 */
/** @typedef {{refresh: () => void, change: (row: any, body: any, done?: string) => void, open: (dialog: any) => void, close: () => void}} RowTools */

/** @param {Input} input @param {any} value */
function toField(input, value) {
  if (input.kind === "check") return Boolean(value);
  if (input.kind === "tags") return (value ?? []).join(" ");
  return value === null || value === undefined ? "" : String(value);
}

/** @param {Input} input @param {any} value */
function toBody(input, value) {
  if (input.kind === "check") return value;
  if (input.kind === "tags") return value.split(/[\s,，、]+/).filter(Boolean);
  const text = input.code || input.kind === "password" ? value : value.trim();
  if (text === "") return null;
  return input.kind === "number" ? Number(text) : text;
}

/** @param {{input: Input, id: string, value: any, wrong: boolean, onChange: (value: any) => void, first: boolean}} props */
export function FormInput({ input, id, value, wrong, onChange, first }) {
  const common = { id, name: input.name, required: input.required, autofocus: first, "aria-invalid": wrong ? "true" : null, placeholder: input.placeholder };
  const onInput = (/** @type {any} */ event) => onChange(event.target.value);
  const look = input.code ? "code" : "";
  if (input.kind === "area") return html`<textarea class=${`textarea ${look}`} rows=${input.code ? 12 : 3} value=${value} onInput=${onInput} ...${common}></textarea>`;
  if (input.kind === "select") {
    return html`<select class="select" value=${value} onChange=${onInput} ...${common}>${(input.choices ?? []).map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}</select>`;
  }
  const type = { number: "number", password: "password", email: "email" }[/** @type {string} */ (input.kind)] ?? "text";
  return html`<input class=${`input ${look}`} type=${type} autocomplete=${type === "password" ? "new-password" : "off"} value=${value} onInput=${onInput} ...${common} />`;
}

/** @param {{kind: Kind, row: any | null, onClose: () => void, onSaved: () => void}} props `row` null: a new one */
function Form({ kind, row, onClose, onSaved }) {
  const inputs = kind.inputs.filter((input) => !input.only || input.only === (row ? "edit" : "create"));
  const [values, setValues] = useState(() => /** @type {Record<string, any>} */ (Object.fromEntries(inputs.map((input) => [input.name, toField(input, row ? row[input.name] : input.start)]))));
  const [errors, setErrors] = useState(/** @type {Record<string, string>} */ ({}));
  const send = async () => {
    const body = /** @type {Record<string, any>} */ (Object.fromEntries(inputs.map((input) => [input.name, toBody(input, values[input.name])])));
    if (row) {
      const changed = Object.entries(body).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(row[name] ?? null));
      if (changed.length > 0) await patch(`/${kind.resource}/${row.id}`, Object.fromEntries(changed));
    } else {
      await post(`/${kind.resource}`, Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)));
    }
    onSaved();
  };
  const refused = (/** @type {unknown} */ problem) => {
    if (!(problem instanceof ApiError)) return false;
    const found = Object.fromEntries(problem.errors.map(({ field, message }) => [field, message]));
    setErrors(found);
    return problem.errors.length > 0 && Object.keys(found).every((name) => name in values);
  };
  const title = row ? `${t("action.edit")}: ${kind.name(row)}` : t(kind.create);
  return html`<${FormDialog} title=${title} submit=${row ? t("action.save") : t("action.create")} onClose=${onClose} onSubmit=${send} onRefused=${refused}>
    <div class="fields">${inputs.map((input, at) => {
      const id = `form-${input.name}`;
      const change = (/** @type {any} */ value) => setValues({ ...values, [input.name]: value });
      if (input.kind === "check") {
        return html`<div class="field wide" key=${id}><label class="check"><input type="checkbox" id=${id} name=${input.name} checked=${values[input.name]} onChange=${(/** @type {any} */ event) => change(event.target.checked)} />${t(input.label)}</label>
          ${input.hint && html`<span class="hint">${t(input.hint)}</span>`}</div>`;
      }
      return html`<${Field} key=${id} label=${t(input.label)} hint=${input.hint && t(input.hint)} error=${errors[input.name]} wide=${input.wide} for=${id}>
        <${FormInput} input=${input} id=${id} value=${values[input.name]} wrong=${Boolean(errors[input.name])} onChange=${change} first=${at === 0} /><//>`;
    })}${row && kind.spent && html`<${SpentOn} resource=${kind.spent} id=${row.id} />`}</div>
  <//>`;
}

/** @param {{kind: Kind, rows: any[], tools: RowTools, onEdit: (row: any) => void, onDelete: (row: any) => void}} props */
function Rows({ kind, rows, tools, onEdit, onDelete }) {
  return html`<div class="card scroll-x"><table class="table"><thead><tr>
      ${kind.columns.map((column) => html`<th key=${column.label} class=${column.look ?? ""}>${t(column.label)}</th>`)}<th><span class="sr-only">${t("action.more")}</span></th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id} data-id=${row.id}>
      ${kind.columns.map((column, at) => html`<td key=${column.label} class=${column.look ?? ""}>${at === 0 ? html`<button type="button" class="row-name" onClick=${() => onEdit(row)}>${column.cell(row)}</button>` : column.cell(row)}</td>`)}
      <td class="actions"><${Menu} label=${`${t("action.more")}: ${kind.name(row)}`} items=${[
        { label: t("action.edit"), icon: "edit", act: () => onEdit(row) },
        ...(kind.items?.(row, tools) ?? []),
        { label: t("action.delete"), icon: "trash", danger: true, act: () => onDelete(row) },
      ]} /></td></tr>`)}</tbody></table></div>`;
}

/** @param {{kind: Kind, note?: any}} props */
export function Crud({ kind, note }) {
  const live = useLive((signal) => /** @type {Promise<any[]>} */ (all(/** @type {any} */ (kind.resource), signal)), [kind.resource], {
    on: [kind.type, "deleted"],
    everyMs: EVERY_MS,
    concerns: (event, type) => type !== "deleted" || event.type === kind.type,
  });
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const close = () => setDialog(null);
  const open = (/** @type {any} */ row) => setDialog({ edit: row });
  useKeys({ c: () => open(null) });
  const change = (/** @type {any} */ row, /** @type {any} */ body, /** @type {string | undefined} */ done) => {
    const show = (/** @type {any} */ next) => live.set((rows) => rows.map((each) => (each.id === row.id ? next : each)));
    void act({
      now: () => show({ ...row, ...body }),
      undo: () => show(row),
      send: async () => show(await patch(`/${kind.resource}/${row.id}`, body)),
      ...(done && { done }),
    });
  };
  const remove = async (/** @type {any} */ row) => {
    await del(`/${kind.resource}/${row.id}`);
    live.refresh();
  };
  const tools = { refresh: live.refresh, change, open: (/** @type {any} */ shown) => setDialog({ shown }), close };
  const rows = live.data;
  const create = html`<button type="button" class="button primary" onClick=${() => open(null)}><${Icon} name="plus" />${t(kind.create)}</button>`;
  return html`<${Bar} title=${t(kind.title)}>${create}<//>
    <${View}><div class="pad stack">
      ${live.error && html`<${Problem} problem=${live.error} retry=${live.refresh} />`}
      ${note}
      ${!rows && !live.error && html`<${Loading} />`}
      ${rows && rows.length === 0 && html`<section class="card"><${Empty} icon=${kind.icon} title=${t(kind.empty)} text=${t(kind.emptyText)}>${create}<//></section>`}
      ${rows && rows.length > 0 && html`<${Rows} kind=${kind} rows=${rows} tools=${tools} onEdit=${open} onDelete=${(/** @type {any} */ row) => setDialog({ remove: row })} />`}
    </div><//>
    ${dialog && "edit" in dialog && (kind.editor ? kind.editor(dialog.edit, close, live.refresh) : html`<${Form} kind=${kind} row=${dialog.edit} onClose=${close} onSaved=${live.refresh} />`)}
    ${dialog?.remove && html`<${Confirm} title=${t("crud.delete", { name: kind.name(dialog.remove) })} text=${t(kind.deleteText)} submit=${t("action.delete")} onConfirm=${() => remove(dialog.remove)} onClose=${close} />`}
    ${dialog?.shown}`;
}
