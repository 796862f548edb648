//@ts-check
// One action for many issues. Each is asked for by itself, so one refusal stops no other.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { patch, post } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { allows, expected } from "../lib/issues.js";
import { FormDialog } from "./dialog.js";
import { Icon } from "./icon.js";
import { Field } from "./parts.js";
import { complain, say } from "./toast.js";

const AT_ONCE = 6;

/**
 * @param {IssueOut[]} issues
 * @param {(issue: IssueOut) => IssueOut} change what is shown at once
 * @param {(issue: IssueOut) => Promise<any>} send
 * @param {(issue: IssueOut) => void} show
 */
async function all(issues, change, send, show) {
  for (const issue of issues) show(change(issue));
  const waiting = [...issues];
  let done = 0;
  /** @type {Map<string, unknown>} */
  const refused = new Map();
  const worker = async () => {
    for (let issue = waiting.shift(); issue; issue = waiting.shift()) {
      try {
        const answer = await send(issue);
        if (answer?.id === issue.id) show(answer);
        done += 1;
      } catch (problem) {
        show(issue);
        refused.set(problem instanceof Error ? problem.message : "", problem);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (done > 0) say(t("bulk.done", { n: done }));
  for (const problem of refused.values()) complain(problem);
}

/** @param {{issues: IssueOut[], show: (issue: IssueOut) => void, onDone: () => void}} props */
export function BulkBar({ issues, show, onDone }) {
  const [asking, setAsking] = useState(false);
  const [priority, setPriority] = useState("10");
  const verb = (/** @type {"cancel" | "requeue"} */ name) => {
    const those = issues.filter((each) => allows(name, each.status));
    const go = () => {
      onDone();
      void all(those, (each) => expected(name, each), (each) => post(`/issues/${each.id}/${name}`), show);
    };
    return html`<button type="button" class=${name === "cancel" ? "button danger" : "button"} disabled=${those.length === 0} onClick=${go}>
      <${Icon} name=${name === "cancel" ? "stop" : "retry"} />${t(`action.${name}`)}${those.length < issues.length && those.length > 0 ? ` (${those.length})` : ""}</button>`;
  };
  const setAll = async () => {
    const value = Number.parseInt(priority, 10) || 0;
    onDone();
    void all(issues, (each) => ({ ...each, priority: value }), (each) => patch(`/issues/${each.id}`, { priority: value }), show);
  };
  return html`<div class="bulk" role="toolbar" aria-label=${t("bulk.label")}>
    <span class="bulk-count">${t("bulk.selected", { n: issues.length })}</span>
    ${verb("cancel")}${verb("requeue")}
    <button type="button" class="button" onClick=${() => setAsking(true)}><${Icon} name="up" />${t("field.priority")}</button>
    <button type="button" class="button quiet icon" aria-label=${t("bulk.none")} onClick=${onDone}><${Icon} name="close" /></button>
    ${asking && html`<${FormDialog} title=${t("bulk.priority", { n: issues.length })} size="small" submit=${t("action.save")} onClose=${() => setAsking(false)} onSubmit=${setAll}>
      <${Field} label=${t("field.priority")} hint=${t("hint.priority")} for="bulk-priority">
        <input class="input" id="bulk-priority" type="number" value=${priority} onInput=${(/** @type {any} */ event) => setPriority(event.target.value)} />
      <//><//>`}
  </div>`;
}
