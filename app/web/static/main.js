//@ts-check
import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/hooks.js";
import "./vendor/signals.js";
import { html } from "./lib/html.js";
import { loadLanguage, t } from "./lib/i18n.js";
import { place } from "./lib/router.js";
import { findUser, user } from "./lib/session.js";
import { Loading, Problem } from "./components/parts.js";
import { Bar, Shell, View } from "./components/shell.js";
import { Toasts } from "./components/toast.js";
import { Login } from "./views/login.js";

/** @type {{path: RegExp, load: () => Promise<{default: any}>}[]} */
const ROUTES = [
  { path: /^\/$/, load: () => import("./views/overview.js") },
  { path: /^\/issues$/, load: () => import("./views/issues.js") },
  { path: /^\/issues\/(?<id>[0-9a-f-]{36})$/, load: () => import("./views/issue.js") },
  { path: /^\/nodes$/, load: () => import("./views/nodes.js") },
  { path: /^\/nodes\/(?<id>[0-9a-f-]{36})$/, load: () => import("./views/nodes.js") },
  { path: /^\/projects$/, load: () => import("./views/projects.js") },
  { path: /^\/repositories$/, load: () => import("./views/repositories.js") },
  { path: /^\/prompts$/, load: () => import("./views/prompts.js") },
  { path: /^\/credentials$/, load: () => import("./views/credentials.js") },
  { path: /^\/users$/, load: () => import("./views/users.js") },
  { path: /^\/audit$/, load: () => import("./views/audit.js") },
  { path: /^\/account$/, load: () => import("./views/account.js") },
];
const RELOADED = "nodeyard.reloaded";

/** @param {string} path */
function match(path) {
  for (const route of ROUTES) {
    const found = route.path.exec(path);
    if (found) return { load: route.load, params: { ...found.groups } };
  }
  return { load: () => import("./views/missing.js"), params: {} };
}

/** After an upgrade of the server an open page asks for files that are gone: it starts anew, once. @param {unknown} problem */
function startAnew(problem) {
  if (sessionStorage.getItem(RELOADED)) return problem;
  sessionStorage.setItem(RELOADED, "1");
  location.reload();
  return null;
}

function Routed() {
  const path = place.value.path;
  const [shown, setShown] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(/** @type {unknown} */ (null));
  useEffect(() => {
    let current = true;
    const { load, params } = match(path);
    load().then(
      (view) => {
        sessionStorage.removeItem(RELOADED);
        if (current) setShown({ view: view.default, params, path });
      },
      (reason) => current && setProblem(startAnew(reason)),
    );
    return () => {
      current = false;
    };
  }, [path]);
  if (problem) return html`<${Bar} title="Nodeyard" /><${View}><div class="pad"><${Problem} problem=${problem} /></div><//>`;
  if (!shown) return html`<${Bar} title="Nodeyard" /><${View}><${Loading} /><//>`;
  return html`<${shown.view} key=${shown.path} ...${shown.params} />`;
}

function App() {
  if (user.value === null) return html`<${Login} /><${Toasts} />`;
  return html`<${Shell}><${Routed} /><//><${Toasts} />`;
}

async function start() {
  const root = /** @type {HTMLElement} */ (document.getElementById("app"));
  // The view's files come while the server is asked who this is; a failure is told when the view is drawn.
  match(place.value.path).load().catch(() => undefined);
  try {
    await Promise.all([loadLanguage(), findUser()]);
    render(html`<${App} />`, root);
  } catch (problem) {
    const again = () => location.reload();
    render(html`<main class="pad"><h1>${t("error.title")}</h1><${Problem} problem=${problem} retry=${again} /></main>`, root);
  }
}

void start();
