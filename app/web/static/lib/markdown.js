//@ts-check
// Markdown as nodes, never as HTML: whatever a description holds, it can only become the elements made here.
import { html } from "./html.js";

const INLINE =
  /(`+)([\s\S]*?[^`])\1(?!`)|\*\*([^\s*](?:[\s\S]*?[^\s*])?)\*\*|__([^\s_](?:[\s\S]*?[^\s_])?)__|\*([^\s*](?:[\s\S]*?[^\s*])?)\*|(?<![\w])_([^\s_](?:[\s\S]*?[^\s_])?)_(?![\w])|~~([\s\S]+?)~~|!?\[([^\]]*)\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)|<?(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])>?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const DEEPEST = 12;

/** Only addresses that can do nothing but be visited. @param {string} address */
const isSafe = (address) => /^(https?:\/\/|mailto:)/i.test(address);

/** @param {string} text @param {number} [depth] @returns {any[]} */
function inline(text, depth = 0) {
  const parts = [];
  let rest = text;
  while (rest && depth < DEEPEST) {
    const found = INLINE.exec(rest);
    if (!found) break;
    if (found.index > 0) parts.push(rest.slice(0, found.index));
    parts.push(element(found, depth + 1));
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest) parts.push(rest);
  return parts;
}

/** @param {RegExpExecArray} found @param {number} depth */
function element(found, depth) {
  const [whole, , code, bold, bold2, italic, italic2, struck, label, target, bare] = found;
  if (code !== undefined) return html`<code>${code.trim() || code}</code>`;
  const strong = bold ?? bold2;
  if (strong !== undefined) return html`<strong>${inline(strong, depth)}</strong>`;
  const weak = italic ?? italic2;
  if (weak !== undefined) return html`<em>${inline(weak, depth)}</em>`;
  if (struck !== undefined) return html`<s>${inline(struck, depth)}</s>`;
  const address = target ?? bare ?? "";
  if (!isSafe(address)) return whole;
  return html`<a class="link" href=${address} target="_blank" rel="noopener noreferrer nofollow">${label === undefined ? bare : label || address}</a>`;
}

/** @typedef {{lines: string[], at: number}} Cursor */

/** @param {Cursor} cursor @param {RegExpExecArray} open */
function fence(cursor, open) {
  const mark = open[1] ?? "```";
  const code = [];
  for (cursor.at += 1; cursor.at < cursor.lines.length; cursor.at += 1) {
    const line = cursor.lines[cursor.at] ?? "";
    if (line.trim().startsWith(mark)) break;
    code.push(line);
  }
  cursor.at += 1;
  return html`<pre tabindex="0"><code>${code.join("\n")}</code></pre>`;
}

/** @param {Cursor} cursor @param {RegExp} prefix */
function takeWhile(cursor, prefix) {
  const taken = [];
  for (; cursor.at < cursor.lines.length; cursor.at += 1) {
    const line = cursor.lines[cursor.at] ?? "";
    if (!prefix.test(line)) break;
    taken.push(line.replace(prefix, ""));
  }
  return taken;
}

/** @param {Cursor} cursor @param {number} depth */
function list(cursor, depth) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(cursor.lines[cursor.at] ?? ""));
  const indent = (first[1] ?? "").length;
  const ordered = /\d/.test(first[2] ?? "");
  const items = [];
  while (cursor.at < cursor.lines.length) {
    const found = ITEM.exec(cursor.lines[cursor.at] ?? "");
    if (!found || (found[1] ?? "").length < indent || /\d/.test(found[2] ?? "") !== ordered) break;
    cursor.at += 1;
    const own = [found[3] ?? ""];
    const inner = indent + (found[2] ?? "").length + 1;
    while (cursor.at < cursor.lines.length) {
      const line = cursor.lines[cursor.at] ?? "";
      const deeper = line.search(/\S/) > indent;
      const blank = line.trim() === "" && (cursor.lines[cursor.at + 1] ?? "").search(/\S/) > indent;
      if (!deeper && !blank) break;
      own.push(line.slice(Math.min(inner, Math.max(0, line.search(/\S/)))));
      cursor.at += 1;
    }
    items.push(item(own, depth));
  }
  return ordered ? html`<ol>${items}</ol>` : html`<ul>${items}</ul>`;
}

/** @param {string[]} own @param {number} depth */
function item(own, depth) {
  const task = /^\[([ xX])\]\s+(.*)$/.exec(own[0] ?? "");
  if (!task) return html`<li>${own.length === 1 ? inline(own[0] ?? "") : blocks(own, depth + 1)}</li>`;
  const box = html`<input type="checkbox" disabled checked=${task[1] !== " "} aria-label=${task[2]} />`;
  return html`<li class="task">${box}${inline(task[2] ?? "")}${own.length > 1 && blocks(own.slice(1), depth + 1)}</li>`;
}

/** @param {string} line */
const cells = (line) =>
  line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

/** @param {Cursor} cursor */
function table(cursor) {
  const head = cells(cursor.lines[cursor.at] ?? "");
  cursor.at += 2;
  const rows = [];
  for (; cursor.at < cursor.lines.length && (cursor.lines[cursor.at] ?? "").includes("|"); cursor.at += 1) {
    rows.push(cells(cursor.lines[cursor.at] ?? ""));
  }
  return html`<div class="scroll-x" tabindex="0"><table><thead><tr>${head.map((cell) => html`<th>${inline(cell)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${inline(cell)}</td>`)}</tr>`)}</tbody></table></div>`;
}

/** @param {string} line */
const opensBlock = (line) =>
  /^\s*(```|~~~)|^#{1,6}\s|^\s*>|^\s*([-*_])(\s*\2){2,}\s*$/.test(line) || ITEM.test(line);

/** @param {Cursor} cursor */
function paragraph(cursor) {
  const taken = [];
  do {
    taken.push((cursor.lines[cursor.at] ?? "").trim());
    cursor.at += 1;
  } while (cursor.at < cursor.lines.length && (cursor.lines[cursor.at] ?? "").trim() !== "" && !opensBlock(cursor.lines[cursor.at] ?? ""));
  return html`<p>${taken.map((line, at) => (at === 0 ? inline(line) : ["\n", ...inline(line)]))}</p>`;
}

/** @param {Cursor} cursor @param {number} depth @returns {any} */
function block(cursor, depth) {
  const line = cursor.lines[cursor.at] ?? "";
  const fenced = /^\s*(```|~~~)/.exec(line);
  if (fenced) return fence(cursor, fenced);
  const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (heading) {
    cursor.at += 1;
    // The page's own headings are h1 and h2.
    return html`<h3 class=${`h${heading[1]?.length}`}>${inline(heading[2] ?? "")}</h3>`;
  }
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
    cursor.at += 1;
    return html`<hr />`;
  }
  if (depth < DEEPEST && /^\s*>/.test(line)) return html`<blockquote>${blocks(takeWhile(cursor, /^\s*>\s?/), depth + 1)}</blockquote>`;
  if (depth < DEEPEST && ITEM.test(line)) return list(cursor, depth);
  if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(cursor.lines[cursor.at + 1] ?? "")) return table(cursor);
  return paragraph(cursor);
}

/** @param {string[]} lines @param {number} depth @returns {any[]} */
function blocks(lines, depth) {
  const cursor = { lines, at: 0 };
  const made = [];
  while (cursor.at < lines.length) {
    if ((lines[cursor.at] ?? "").trim() === "") cursor.at += 1;
    else made.push(block(cursor, depth));
  }
  return made;
}

/** @param {{text: string}} props */
export function Markdown({ text }) {
  return html`<div class="markdown">${blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0)}</div>`;
}
