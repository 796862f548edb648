// Copies the page's libraries from node_modules to app/web/static/vendor and records what they are.
//
// A bare import ("preact") needs an import map, which a strict content security policy refuses inline;
// so the few bare names are rewritten to the files beside each other. Nothing else is changed.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "..", "app", "web", "static", "vendor");

const MODULES = [
  { file: "preact.js", package: "preact", source: "dist/preact.mjs" },
  { file: "hooks.js", package: "preact", source: "hooks/dist/hooks.mjs", types: "preact/hooks" },
  { file: "signals-core.js", package: "@preact/signals-core", source: "dist/signals-core.mjs" },
  { file: "signals.js", package: "@preact/signals", source: "dist/signals.mjs" },
  { file: "htm.js", package: "htm", source: "dist/htm.mjs", default: true },
  // uPlot ships its minified build as a script only; one line makes it a module.
  { file: "uplot.js", package: "uplot", source: "dist/uPlot.iife.min.js", append: "export default uPlot;\n", default: true },
  { file: "uplot.css", package: "uplot", source: "dist/uPlot.min.css" },
  { file: "ansi_up.js", package: "ansi_up", source: "ansi_up.js" },
];

const SIBLINGS = {
  "preact": "./preact.js",
  "preact/hooks": "./hooks.js",
  "@preact/signals-core": "./signals-core.js",
};

const sha256 = (/** @type {string} */ text) => createHash("sha256").update(text).digest("hex");

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const record = [];
const licences = new Map();
for (const module of MODULES) {
  const root = join(HERE, "node_modules", module.package);
  const about = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const upstream = readFileSync(join(root, module.source), "utf8");
  let text = upstream.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, "\n");
  for (const [name, path] of Object.entries(SIBLINGS)) {
    text = text.replaceAll(`from"${name}"`, `from"${path}"`);
  }
  text += module.append ?? "";
  writeFileSync(join(OUT, module.file), text);
  if (module.file.endsWith(".js")) {
    const types = JSON.stringify(module.types ?? module.package);
    const reexport = module.default ? `export { default } from ${types};\n` : `export * from ${types};\n`;
    writeFileSync(join(OUT, module.file.replace(/\.js$/, ".d.ts")), reexport);
  }
  licences.set(module.package, `${module.package.replace(/^@/, "").replace("/", "-")}.LICENSE`);
  writeFileSync(join(OUT, licences.get(module.package)), readFileSync(join(root, "LICENSE"), "utf8"));
  record.push({
    file: module.file,
    package: module.package,
    version: about.version,
    licence: about.license,
    licence_file: licences.get(module.package),
    source: module.source,
    source_sha256: sha256(upstream),
    sha256: sha256(text),
  });
}
writeFileSync(join(OUT, "vendor.json"), `${JSON.stringify(record, null, 2)}\n`);
