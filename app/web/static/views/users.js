//@ts-check
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { user } from "../lib/session.js";
import { Crud } from "../components/crud.js";
import { Ago } from "../components/time.js";

/** @type {import("../components/crud.js").Kind} */
const USERS = {
  resource: "users",
  type: "user",
  title: "place.users",
  create: "users.create",
  empty: "users.none",
  emptyText: "users.none_text",
  icon: "users",
  name: (row) => row.email,
  deleteText: "users.delete_text",
  columns: [
    { label: "field.email", look: "fill", cell: (row) => html`<strong class="ellipsis">${row.email}</strong>${row.full_name && html`<span class="ellipsis quiet-text">${row.full_name}</span>`}` },
    { label: "field.role", cell: (row) => (row.is_superuser ? html`<span class="pill" data-tone="review">${t("role.superuser")}</span>` : html`<span class="second">${t("role.user")}</span>`) },
    {
      label: "field.state",
      cell: (row) => html`<span class="status" data-tone=${row.is_active ? "good" : "mute"}><span class="dot"></span>${row.is_active ? t("state.active") : t("state.deactivated")}</span>`,
    },
    { label: "field.created", cell: (row) => html`<span class="quiet-text"><${Ago} at=${row.created_at} /></span>` },
  ],
  inputs: [
    { name: "email", label: "field.email", kind: "email", required: true, wide: true },
    { name: "full_name", label: "field.full_name", wide: true },
    { name: "password", label: "field.password", hint: "hint.new_password", kind: "password", wide: true },
    { name: "is_superuser", label: "field.is_superuser", hint: "hint.is_superuser", kind: "check" },
    { name: "is_active", label: "field.is_active_user", kind: "check", start: true },
  ],
  items: (row, tools) =>
    row.id === user.value?.id
      ? []
      : [
          row.is_active
            ? { label: t("action.deactivate"), icon: "pause", act: () => tools.change(row, { is_active: false }) }
            : { label: t("action.activate"), icon: "play", act: () => tools.change(row, { is_active: true }) },
        ],
};

export default () => html`<${Crud} kind=${USERS} />`;
