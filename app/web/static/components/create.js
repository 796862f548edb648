//@ts-check
// One issue with everything it may say, or many with one line each.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { ApiError, post } from "../lib/api.js";
import { useCatalogue } from "../lib/catalogue.js";
import { t } from "../lib/i18n.js";
import { navigate } from "../lib/router.js";
import { FormDialog } from "./dialog.js";
import { Field } from "./parts.js";
import { say } from "./toast.js";

const MOST = 1000;
const START = {
  title: "", description: "", lines: "", repository: "", repository_url: "", project_id: "", prompt_id: "",
  issue_number: "", priority: "0", requires: "", tool: "", max_attempts: "3", base_branch: "", not_before: "",
};
/** @typedef {typeof START} Draft */

/** @param {string} text */
export const wordsOf = (text) => text.split(/[\s,，、]+/).filter(Boolean);

/** What every issue of the form shares. @param {Draft} draft */
function common(draft) {
  /** @type {Record<string, unknown>} */
  const body = { priority: Number(draft.priority) || 0, requires: wordsOf(draft.requires), max_attempts: Number(draft.max_attempts) || 3 };
  if (draft.repository) body["repository_id"] = draft.repository;
  else if (draft.repository_url.trim()) body["repository_url"] = draft.repository_url.trim();
  for (const name of /** @type {const} */ (["project_id", "prompt_id", "tool", "base_branch"])) {
    const value = draft[name].trim();
    if (value) body[name] = value;
  }
  if (draft.not_before) body["not_before"] = new Date(draft.not_before).toISOString();
  return body;
}

/** "#12 Title" or "Title": the number in front is the forge's. @param {string} line */
function fromLine(line) {
  const found = /^#?(\d{1,9})[\s:.)-]+(\S.*)$/.exec(line);
  return found ? { title: found[2], issue_number: Number(found[1]) } : { title: line };
}

/** @param {Draft} draft @param {boolean} many */
async function send(draft, many) {
  if (many) {
    const lines = draft.lines.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, MOST);
    if (lines.length === 0) throw new ApiError(400, "invalid_input", "", [{ field: "lines", message: t("create.lines_missing") }]);
    const { items } = await post("/issues/bulk", { issues: lines.map((line) => ({ ...common(draft), ...fromLine(line) })) });
    say(t("create.made", { n: items.length }));
    return;
  }
  const body = common(draft);
  body["title"] = draft.title.trim();
  if (draft.description.trim()) body["description"] = draft.description;
  if (draft.issue_number) body["issue_number"] = Number(draft.issue_number);
  const issue = await post("/issues", body);
  say(t("create.made", { n: 1 }));
  navigate(`/issues/${issue.id}`);
}

/** @param {{draft: Draft, bind: (name: keyof Draft) => any, errors: Record<string, string>}} props */
function One({ bind, errors }) {
  return html`
    <${Field} label=${t("field.title")} for="new-title" error=${errors["title"]}><input class="input" id="new-title" autofocus required maxlength="255" ...${bind("title")} /><//>
    <${Field} label=${t("field.description")} hint=${t("hint.markdown")} for="new-description" error=${errors["description"]}>
      <textarea class="textarea" id="new-description" rows="7" ...${bind("description")}></textarea><//>`;
}

/** @param {{bind: (name: keyof Draft) => any, errors: Record<string, string>}} props */
function Many({ bind, errors }) {
  return html`<${Field} label=${t("create.lines")} hint=${t("create.lines_hint")} for="new-lines" error=${errors["lines"]}>
    <textarea class="textarea code" id="new-lines" rows="10" autofocus placeholder=${"#412 Fix the rounding of discounts\n#413 Show the delivery date\nUpgrade to Python 3.13"} ...${bind("lines")}></textarea><//>`;
}

/** @param {{label: string, id: string, items: any[], bind: any, none: string}} props */
function Choice({ label, id, items, bind, none }) {
  return html`<${Field} label=${label} for=${id}><select class="select" id=${id} ...${bind}>
    <option value="">${none}</option>${items.map((item) => html`<option key=${item.id} value=${item.id}>${item.name}</option>`)}</select><//>`;
}

/** @param {{draft: Draft, many: boolean, bind: (name: keyof Draft) => any, errors: Record<string, string>}} props */
function Details({ draft, many, bind, errors }) {
  const repositories = useCatalogue("repositories").items;
  const projects = useCatalogue("projects").items;
  const prompts = useCatalogue("prompts").items;
  return html`<div class="fields">
    <${Choice} label=${t("field.repository")} id="new-repository" items=${repositories} bind=${bind("repository")} none=${t("create.by_url")} />
    <${Field} label=${t("field.repository_url")} for="new-url" error=${errors["repository_url"]}>
      <input class="input code" id="new-url" placeholder="https://github.com/acme/shop.git" disabled=${draft.repository !== ""} ...${bind("repository_url")} /><//>
    <${Choice} label=${t("field.project")} id="new-project" items=${projects} bind=${bind("project_id")} none="–" />
    <${Choice} label=${t("field.prompt")} id="new-prompt" items=${prompts} bind=${bind("prompt_id")} none=${t("create.default_prompt")} />
    <${Field} label=${t("field.priority")} hint=${t("hint.priority")} for="new-priority" error=${errors["priority"]}><input class="input" id="new-priority" type="number" ...${bind("priority")} /><//>
    ${!many && html`<${Field} label=${t("field.issue_number")} for="new-number" error=${errors["issue_number"]}><input class="input" id="new-number" type="number" min="1" ...${bind("issue_number")} /><//>`}
    <${Field} label=${t("field.tool")} hint=${t("hint.tool")} for="new-tool" error=${errors["tool"]}>
      <input class="input" id="new-tool" list="tool-list" placeholder="claude-code" ...${bind("tool")} />
      <datalist id="tool-list"><option value="claude-code" /><option value="cursor" /><option value="github-copilot" /></datalist><//>
    <${Field} label=${t("field.requires")} hint=${t("hint.requires")} for="new-requires" error=${errors["requires"]}><input class="input" id="new-requires" placeholder="linux gpu" ...${bind("requires")} /><//>
    <${Field} label=${t("field.base_branch")} for="new-base" error=${errors["base_branch"]}><input class="input code" id="new-base" placeholder="main" ...${bind("base_branch")} /><//>
    <${Field} label=${t("field.max_attempts")} for="new-attempts" error=${errors["max_attempts"]}><input class="input" id="new-attempts" type="number" min="1" max="100" ...${bind("max_attempts")} /><//>
    <${Field} label=${t("field.not_before")} hint=${t("hint.not_before")} for="new-before" error=${errors["not_before"]}><input class="input" id="new-before" type="datetime-local" ...${bind("not_before")} /><//>
  </div>`;
}

/** @param {{onClose: () => void}} props */
export function CreateIssues({ onClose }) {
  const [draft, setDraft] = useState(START);
  const [many, setMany] = useState(false);
  const [errors, setErrors] = useState(/** @type {Record<string, string>} */ ({}));
  const bind = (/** @type {keyof Draft} */ name) => ({
    name,
    value: draft[name],
    "aria-invalid": errors[name] ? "true" : null,
    onInput: (/** @type {any} */ event) => setDraft({ ...draft, [name]: event.target.value }),
  });
  const refused = (/** @type {unknown} */ problem) => {
    if (!(problem instanceof ApiError)) return false;
    const found = Object.fromEntries(problem.errors.map(({ field, message }) => [field.replace(/^.*[.\]]/, ""), message]));
    setErrors(found);
    return problem.errors.length > 0 && Object.keys(found).every((name) => name in START);
  };
  return html`<${FormDialog} title=${t("create.title")} submit=${many ? t("create.submit_many") : t("create.submit")} onClose=${onClose}
    onSubmit=${() => send(draft, many)} onRefused=${refused}
    aside=${html`<div class="group" role="group" aria-label=${t("create.how")}>
      <button type="button" class="button small" aria-pressed=${!many} onClick=${() => setMany(false)}>${t("create.one")}</button>
      <button type="button" class="button small" aria-pressed=${many} onClick=${() => setMany(true)}>${t("create.many")}</button></div>`}>
    ${many ? html`<${Many} bind=${bind} errors=${errors} />` : html`<${One} draft=${draft} bind=${bind} errors=${errors} />`}
    <${Details} draft=${draft} many=${many} bind=${bind} errors=${errors} />
  <//>`;
}
