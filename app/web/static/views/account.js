//@ts-check
import { useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { del, get, patch, post } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { useLive } from "../lib/live.js";
import { user } from "../lib/session.js";
import { FormDialog } from "../components/dialog.js";
import { Icon } from "../components/icon.js";
import { Command, Field, Loading, Problem } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";
import { Ago } from "../components/time.js";
import { act, complain, say } from "../components/toast.js";

const DAY_S = 86_400;

/** @param {(value: string) => void} set */
const typed = (set) => (/** @type {any} */ event) => set(event.target.value);

function Profile() {
  const [name, setName] = useState(user.value?.full_name ?? "");
  const save = async (/** @type {Event} */ event) => {
    event.preventDefault();
    await act({ send: async () => { user.value = await patch("/auth/me", { full_name: name.trim() || null }); }, done: t("account.saved") });
  };
  return html`<section class="card"><div class="card-head"><h2>${t("account.profile")}</h2></div>
    <form class="card-body stack" onSubmit=${save}>
      <${Field} label=${t("field.email")} for="own-email"><input class="input" id="own-email" value=${user.value?.email} readOnly /><//>
      <${Field} label=${t("field.full_name")} for="own-name"><input class="input" id="own-name" name="full_name" autocomplete="name" value=${name} onInput=${typed(setName)} /><//>
      <div><button class="button">${t("action.save")}</button></div></form></section>`;
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await post("/auth/password", { current_password: current, new_password: next });
      setCurrent("");
      setNext("");
      say(t("account.password_changed"));
    } catch (problem) {
      complain(problem);
    }
  };
  return html`<section class="card"><div class="card-head"><h2>${t("account.password")}</h2></div>
    <form class="card-body stack" onSubmit=${change}>
      <${Field} label=${t("account.current_password")} for="current"><input class="input" id="current" type="password" autocomplete="current-password" required value=${current} onInput=${typed(setCurrent)} /><//>
      <${Field} label=${t("account.new_password")} hint=${t("hint.new_password")} for="next"><input class="input" id="next" type="password" autocomplete="new-password" required value=${next} onInput=${typed(setNext)} /><//>
      <div><button class="button">${t("account.change_password")}</button></div></form></section>`;
}

/** @param {{onClose: () => void, onMade: (token: string) => void}} props */
function NewToken({ onClose, onMade }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const make = async () => {
    const made = await post("/auth/tokens", { name: name.trim(), ...(days && { expires_in_s: Number(days) * DAY_S }) });
    onMade(made.token);
  };
  return html`<${FormDialog} title=${t("account.new_token")} size="small" submit=${t("action.create")} onClose=${onClose} onSubmit=${make}>
    <${Field} label=${t("field.name")} hint=${t("account.token_name_hint")} for="token-name"><input class="input" id="token-name" autofocus required value=${name} onInput=${typed(setName)} /><//>
    <${Field} label=${t("account.token_lasts")} for="token-days"><select class="select" id="token-days" value=${days} onChange=${typed(setDays)}>
      ${["7", "30", "90", "365"].map((each) => html`<option key=${each} value=${each}>${t("account.days", { n: each })}</option>`)}<option value="">${t("account.for_ever")}</option></select><//>
  <//>`;
}

function Tokens() {
  const live = useLive((signal) => get("/auth/tokens", { limit: 200 }, signal), []);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState("");
  const remove = (/** @type {TokenOut} */ token) =>
    void act({
      now: () => live.set((page) => ({ ...page, items: page.items.filter((/** @type {TokenOut} */ each) => each.id !== token.id) })),
      undo: () => live.refresh(),
      send: () => del(`/auth/tokens/${token.id}`),
    });
  const onMade = (/** @type {string} */ token) => {
    setMade(token);
    live.refresh();
  };
  const rows = /** @type {TokenOut[]} */ (live.data?.items ?? []);
  return html`<section class="card"><div class="card-head"><h2>${t("account.tokens")}</h2><span class="spacer"></span>
      <button type="button" class="button small" onClick=${() => setMaking(true)}><${Icon} name="plus" />${t("account.new_token")}</button></div>
    <div class="card-body stack">
      <p class="second">${t("account.tokens_text")}</p>
      ${made && html`<div class="notice" data-tone="good"><${Icon} name="check" /><div class="stack"><span>${t("account.token_once")}</span><${Command} text=${made} /></div></div>`}
      ${live.error && html`<${Problem} problem=${live.error} retry=${live.refresh} />`}${!live.data && !live.error && html`<${Loading} rows=${2} />`}
    </div>
    ${rows.length > 0 && html`<div class="scroll-x"><table class="table"><thead><tr><th>${t("field.name")}</th><th>${t("field.last_used")}</th><th>${t("field.expires")}</th><th><span class="sr-only">${t("action.delete")}</span></th></tr></thead>
      <tbody>${rows.map((token) => html`<tr key=${token.id}><td class="fill"><span class="row-flex"><span class="ellipsis">${token.kind === "session" ? t("account.session") : token.name}</span><span class="quiet-text mono">…${token.last4}</span></span></td>
        <td class="quiet-text"><${Ago} at=${token.last_used_at} /></td><td class="quiet-text">${token.expires_at ? html`<${Ago} at=${token.expires_at} />` : t("account.never")}</td>
        <td class="actions"><button type="button" class="button quiet small icon danger" aria-label=${`${t("action.delete")}: ${token.name ?? token.last4}`} onClick=${() => remove(token)}><${Icon} name="trash" /></button></td></tr>`)}</tbody></table></div>`}
    ${making && html`<${NewToken} onClose=${() => setMaking(false)} onMade=${onMade} />`}
  </section>`;
}

export default function Account() {
  return html`<${Bar} title=${t("place.account")} /><${View}><div class="pad stack narrow"><${Profile} /><${Password} /><${Tokens} /></div><//>`;
}
