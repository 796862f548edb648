//@ts-check
// How a machine joins: the key, hidden until it is asked for, and the command to run there.
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { dateTime } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icon.js";
import { Command, Copy, Field } from "./parts.js";
import { act } from "./toast.js";

const HIDDEN = "•".repeat(24);
const GRACES = /** @type {[number, string][]} */ ([[0, "0"], [3600, "1"], [86_400, "24"], [604_800, "168"]]);

/** @typedef {{key: string, created_at: string, previous_expires_at: string | null}} Key */

/** @param {{onRotated: (key: Key) => void}} props */
function Rotate({ onRotated }) {
  const [grace, setGrace] = useState("86400");
  const rotate = () =>
    act({
      send: async () => onRotated(await post("/registration-key/rotate", { grace_s: Number(grace) })),
      done: t("connect.rotated"),
    });
  return html`<details class="rotate"><summary>${t("connect.rotate")}</summary><div class="stack">
    <p class="second">${t("connect.rotate_text")}</p>
    <div class="row-flex wrap"><${Field} label=${t("connect.grace")} for="grace"><select class="select" id="grace" value=${grace} onChange=${(/** @type {any} */ event) => setGrace(event.target.value)}>
      ${GRACES.map(([seconds, hours]) => html`<option key=${seconds} value=${String(seconds)}>${seconds === 0 ? t("connect.no_grace") : t("nodes.hours", { n: hours })}</option>`)}</select><//>
      <button type="button" class="button danger" onClick=${rotate}><${Icon} name="retry" />${t("connect.rotate_now")}</button></div>
  </div></details>`;
}

/** @param {{onClose: () => void}} props */
export function Connect({ onClose }) {
  const [key, setKey] = useState(/** @type {Key | null} */ (null));
  const reveal = () => act({ send: async () => setKey(await get("/registration-key")) });
  const command = (/** @type {string} */ shown) => `nodeyard agent --server ${location.origin} \\\n  --registration-key ${shown} \\\n  --slots 2 --tags linux \\\n  --tool claude-code="claude -p"`;
  return html`<${Dialog} title=${t("nodes.connect")} onClose=${onClose}><div class="dialog-body">
    <p class="second">${t("connect.text")}</p>
    <div class="field"><span class="label">${t("connect.key")}</span><div class="command"><pre class="key" data-shown=${key !== null}>${key ? key.key : HIDDEN}</pre>
      ${key ? html`<${Copy} text=${key.key} />` : html`<button type="button" class="button small" onClick=${reveal}><${Icon} name="eye" />${t("connect.reveal")}</button>`}</div>
      <span class="hint">${key?.previous_expires_at ? t("connect.previous", { time: dateTime(key.previous_expires_at) }) : t("connect.audited")}</span></div>
    <div class="field"><span class="label">${t("connect.command")}</span>
      ${key ? html`<${Command} text=${command(key.key)} />` : html`<div class="command"><pre>${command("nyr_…")}</pre></div>`}
      <span class="hint">${t("connect.command_hint")}</span></div>
    <${Rotate} onRotated=${setKey} />
  </div><//>`;
}
