//@ts-check
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Crud } from "../components/crud.js";
import { Ago } from "../components/time.js";

/** @type {import("../components/crud.js").Kind} */
const REPOSITORIES = {
  resource: "repositories",
  type: "repository",
  title: "place.repositories",
  create: "repositories.create",
  empty: "repositories.none",
  emptyText: "repositories.none_text",
  icon: "repositories",
  name: (row) => row.name,
  deleteText: "repositories.delete_text",
  columns: [
    { label: "field.name", look: "fill", cell: (row) => html`<strong class="ellipsis">${row.name}</strong><span class="ellipsis quiet-text mono">${row.url}</span>` },
    { label: "field.default_branch", cell: (row) => (row.default_branch ? html`<span class="mono">${row.default_branch}</span>` : html`<span class="quiet-text">HEAD</span>`) },
    { label: "field.max_running", look: "num", cell: (row) => row.max_running ?? html`<span class="quiet-text">${t("state.no_limit")}</span>` },
    { label: "place.issues", cell: (row) => html`<a class="link" href=${`/issues?repository_id=${row.id}`}>${t("action.show")}</a>` },
    { label: "field.updated", cell: (row) => html`<span class="quiet-text"><${Ago} at=${row.updated_at} /></span>` },
  ],
  inputs: [
    { name: "name", label: "field.name", required: true, wide: true },
    { name: "url", label: "field.repository_url", required: true, wide: true, code: true, placeholder: "https://github.com/acme/shop.git" },
    { name: "description", label: "field.description", kind: "area", wide: true },
    { name: "default_branch", label: "field.default_branch", hint: "hint.default_branch", code: true, placeholder: "main" },
    { name: "max_running", label: "field.max_running", hint: "hint.max_running", kind: "number" },
    { name: "is_public", label: "field.is_public", kind: "check" },
  ],
};

export default () => html`<${Crud} kind=${REPOSITORIES} />`;
