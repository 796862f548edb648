//@ts-check
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Crud } from "../components/crud.js";
import { Ago } from "../components/time.js";

/** @type {import("../components/crud.js").Kind} */
const PROJECTS = {
  resource: "projects",
  type: "project",
  spent: "projects",
  title: "place.projects",
  create: "projects.create",
  empty: "projects.none",
  emptyText: "projects.none_text",
  icon: "projects",
  name: (row) => row.name,
  deleteText: "projects.delete_text",
  columns: [
    { label: "field.name", look: "fill", cell: (row) => html`<strong class="ellipsis">${row.name}</strong>${row.description && html`<span class="ellipsis quiet-text">${row.description}</span>`}` },
    {
      label: "field.state",
      cell: (row) => html`<span class="status" data-tone=${row.is_active ? "good" : "warn"}><span class="dot"></span>${row.is_active ? t("state.active") : t("state.paused")}</span>`,
    },
    { label: "field.max_running", look: "num", cell: (row) => row.max_running ?? html`<span class="quiet-text">${t("state.no_limit")}</span>` },
    { label: "place.issues", cell: (row) => html`<a class="link" href=${`/issues?project_id=${row.id}`}>${t("action.show")}</a>` },
    { label: "field.updated", cell: (row) => html`<span class="quiet-text"><${Ago} at=${row.updated_at} /></span>` },
  ],
  inputs: [
    { name: "name", label: "field.name", required: true, wide: true },
    { name: "description", label: "field.description", kind: "area", wide: true },
    { name: "max_running", label: "field.max_running", hint: "hint.max_running", kind: "number" },
    { name: "is_active", label: "field.is_active_project", hint: "hint.is_active_project", kind: "check", start: true },
  ],
  items: (row, tools) => [
    row.is_active
      ? { label: t("action.pause"), icon: "pause", act: () => tools.change(row, { is_active: false }) }
      : { label: t("action.resume"), icon: "play", act: () => tools.change(row, { is_active: true }) },
  ],
};

export default () => html`<${Crud} kind=${PROJECTS} />`;
