//@ts-check
import { useEffect, useState } from "../vendor/hooks.js";
import { html } from "../lib/html.js";
import { LANGUAGES, language, setLanguage, t } from "../lib/i18n.js";
import { login } from "../lib/session.js";
import { Logo } from "../components/icon.js";
import { Field, Problem } from "../components/parts.js";

export function Login() {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = `${t("login.title")} · Nodeyard`;
  }, [language.value]);
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await login(email.trim(), password);
    } catch (refused) {
      setProblem(refused);
      setBusy(false);
    }
  };
  const typed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => set(event.target.value);
  return html`<main class="login"><form onSubmit=${send}>
    <h1 class="brand"><${Logo} />Nodeyard</h1>
    <div class="card">
      ${problem && html`<${Problem} problem=${problem} />`}
      <${Field} label=${t("field.email")} for="email">
        <input class="input" id="email" name="email" type="email" autocomplete="username" required autofocus value=${email} onInput=${typed(setEmail)} />
      <//>
      <${Field} label=${t("field.password")} for="password">
        <input class="input" id="password" name="password" type="password" autocomplete="current-password" required value=${password} onInput=${typed(setPassword)} />
      <//>
      <button class="button primary" disabled=${busy}>${t("login.submit")}</button>
    </div>
    <div class="login-foot">
      ${LANGUAGES.map(({ code, name }) => html`<button type="button" key=${code} class="button quiet small" aria-pressed=${language.value === code}
        onClick=${() => void setLanguage(code)}>${name}</button>`)}
    </div>
  </form></main>`;
}
