//@ts-check
import { useEffect, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { ApiError, get, patch, post } from "../lib/api.js";
import { issueName } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Crud, FormInput } from "../components/crud.js";
import { FormDialog } from "../components/dialog.js";
import { Field, Tags } from "../components/parts.js";
import { Ago } from "../components/time.js";
import { Told } from "../components/toast.js";

const TYPING_MS = 300;
const RECENT = 30;
const TEMPLATE = "{{ issue.title }}\n\n{{ issue.description or '' }}\n";

/** @type {import("../components/crud.js").Input[]} */
const INPUTS = [
  { name: "name", label: "field.name", required: true },
  { name: "tags", label: "field.tags", kind: "tags" },
  { name: "description", label: "field.description", wide: true },
];

/** What a node would be given, rendered by the server for a chosen issue. @param {{content: string}} props */
function Preview({ content }) {
  const [issues, setIssues] = useState(/** @type {IssueOut[]} */ ([]));
  const [issue, setIssue] = useState("");
  const [shown, setShown] = useState({ text: "", problem: /** @type {unknown} */ (null) });
  useEffect(() => {
    void get("/issues", { limit: RECENT }).then(({ items }) => {
      setIssues(items);
      setIssue(items[0]?.id ?? "");
    }, () => undefined);
  }, []);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(async () => {
      try {
        const answer = await post("/prompts/preview", { content, ...(issue && { issue_id: issue }) });
        if (current) setShown({ text: answer.rendered, problem: null });
      } catch (problem) {
        if (current) setShown((before) => ({ ...before, problem }));
      }
    }, TYPING_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [content, issue]);
  return html`<div class="preview">
    <div class="row-flex"><label class="second" for="preview-issue">${t("prompts.preview_with")}</label>
      <select class="select" id="preview-issue" value=${issue} onChange=${(/** @type {any} */ event) => setIssue(event.target.value)}>
        ${issues.length === 0 && html`<option value="">${t("prompts.sample_issue")}</option>`}
        ${issues.map((each) => html`<option key=${each.id} value=${each.id}>${issueName(each)} ${each.title}</option>`)}</select></div>
    ${shown.problem && html`<div class="notice" data-tone="bad" role="alert"><${Told} problem=${shown.problem} /></div>`}
    <pre class=${shown.problem ? "stale" : ""} tabindex="0" aria-label=${t("prompts.preview")}>${shown.text}</pre>
  </div>`;
}

/** @param {{row: PromptOut | null, onClose: () => void, refresh: () => void}} props */
function Editor({ row, onClose, refresh }) {
  const [values, setValues] = useState({
    name: row?.name ?? "",
    description: row?.description ?? "",
    tags: (row?.tags ?? []).join(" "),
    content: row?.content ?? TEMPLATE,
    is_default: row?.is_default ?? false,
  });
  const [errors, setErrors] = useState(/** @type {Record<string, string>} */ ({}));
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => setValues({ ...values, [name]: value });
  const send = async () => {
    const body = { ...values, description: values.description.trim() || null, tags: values.tags.split(/[\s,]+/).filter(Boolean) };
    await (row ? patch(`/prompts/${row.id}`, body) : post("/prompts", body));
    refresh();
  };
  const refused = (/** @type {unknown} */ problem) => {
    if (!(problem instanceof ApiError)) return false;
    const found = Object.fromEntries(problem.errors.map(({ field, message }) => [field, message]));
    setErrors(found);
    return problem.errors.length > 0 && Object.keys(found).every((name) => name in values);
  };
  return html`<${FormDialog} size="large" title=${row ? `${t("action.edit")}: ${row.name}` : t("prompts.create")} submit=${row ? t("action.save") : t("action.create")}
    onClose=${onClose} onSubmit=${send} onRefused=${refused}>
    <div class="fields">${INPUTS.map((input, at) => html`<${Field} key=${input.name} label=${t(input.label)} wide=${input.wide} error=${errors[input.name]} for=${`form-${input.name}`}>
      <${FormInput} input=${input} id=${`form-${input.name}`} value=${/** @type {any} */ (values)[input.name]} wrong=${Boolean(errors[input.name])} onChange=${set(input.name)} first=${at === 0} /><//>`)}</div>
    <div class="editor">
      <${Field} label=${t("field.content")} hint=${t("hint.template")} error=${errors["content"]} for="form-content">
        <textarea class="textarea code" id="form-content" name="content" rows="18" spellcheck=${false} value=${values.content} onInput=${(/** @type {any} */ event) => set("content")(event.target.value)}></textarea><//>
      <div class="field"><span class="label">${t("prompts.preview")}</span><${Preview} content=${values.content} /></div>
    </div>
    <label class="check"><input type="checkbox" name="is_default" checked=${values.is_default} onChange=${(/** @type {any} */ event) => set("is_default")(event.target.checked)} />${t("field.is_default")}</label>
  <//>`;
}

/** @type {import("../components/crud.js").Kind} */
const PROMPTS = {
  resource: "prompts",
  type: "prompt",
  title: "place.prompts",
  create: "prompts.create",
  empty: "prompts.none",
  emptyText: "prompts.none_text",
  icon: "prompts",
  name: (row) => row.name,
  deleteText: "prompts.delete_text",
  columns: [
    { label: "field.name", look: "fill", cell: (row) => html`<strong class="ellipsis">${row.name}</strong><span class="ellipsis quiet-text">${row.description || row.content}</span>` },
    { label: "field.tags", cell: (row) => html`<${Tags} words=${row.tags} />` },
    { label: "field.default", cell: (row) => (row.is_default ? html`<span class="pill" data-tone="good">${t("state.default")}</span>` : "") },
    { label: "field.updated", cell: (row) => html`<span class="quiet-text"><${Ago} at=${row.updated_at} /></span>` },
  ],
  inputs: INPUTS,
  items: (row, tools) => (row.is_default ? [] : [{ label: t("prompts.make_default"), icon: "check", act: () => { tools.change(row, { is_default: true }); setTimeout(tools.refresh, 300); } }]),
  editor: (row, onClose, refresh) => html`<${Editor} row=${row} onClose=${onClose} refresh=${refresh} />`,
};

export default () => html`<${Crud} kind=${PROMPTS} />`;
