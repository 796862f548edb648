//@ts-check
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Empty } from "../components/parts.js";
import { Bar, View } from "../components/shell.js";

export default function Missing() {
  return html`<${Bar} title=${t("missing.title")} />
    <${View}><${Empty} icon="info" title=${t("missing.title")} text=${t("missing.text")}>
      <a class="button" href="/">${t("place.overview")}</a>
    <//><//>`;
}
