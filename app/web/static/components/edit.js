//@ts-check
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { patch } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { wordsOf } from "./create.js";
import { FormDialog } from "./dialog.js";
import { Field } from "./parts.js";

/** @param {{issue: IssueOut, onClose: () => void, onSaved: (issue: IssueOut) => void}} props */
export function EditIssue({ issue, onClose, onSaved }) {
  const [draft, setDraft] = useState({
    title: issue.title,
    description: issue.description ?? "",
    priority: String(issue.priority),
    requires: issue.requires.join(" "),
    tool: issue.tool ?? "",
    max_attempts: String(issue.max_attempts),
  });
  const bind = (/** @type {keyof typeof draft} */ name) => ({
    id: `edit-${name}`,
    name,
    value: draft[name],
    onInput: (/** @type {any} */ event) => setDraft({ ...draft, [name]: event.target.value }),
  });
  const save = async () => {
    /** @type {Record<string, unknown>} */
    const wanted = {
      title: draft.title.trim(),
      description: draft.description || null,
      priority: Number(draft.priority) || 0,
      requires: wordsOf(draft.requires),
      tool: draft.tool.trim() || null,
      max_attempts: Number(draft.max_attempts) || 1,
    };
    const before = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (issue));
    const changed = Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]));
    if (changed.length > 0) onSaved(await patch(`/issues/${issue.id}`, Object.fromEntries(changed)));
  };
  return html`<${FormDialog} title=${t("issue.edit")} submit=${t("action.save")} onClose=${onClose} onSubmit=${save}>
    <${Field} label=${t("field.title")} for="edit-title"><input class="input" autofocus maxlength="255" ...${bind("title")} /><//>
    <${Field} label=${t("field.description")} hint=${t("hint.markdown")} for="edit-description"><textarea class="textarea" rows="9" ...${bind("description")}></textarea><//>
    <div class="fields">
      <${Field} label=${t("field.priority")} hint=${t("hint.priority")} for="edit-priority"><input class="input" type="number" ...${bind("priority")} /><//>
      <${Field} label=${t("field.max_attempts")} for="edit-max_attempts"><input class="input" type="number" min="1" max="100" ...${bind("max_attempts")} /><//>
      <${Field} label=${t("field.tool")} hint=${t("hint.tool")} for="edit-tool"><input class="input" ...${bind("tool")} /><//>
      <${Field} label=${t("field.requires")} hint=${t("hint.requires")} for="edit-requires"><input class="input" ...${bind("requires")} /><//>
    </div>
  <//>`;
}
