//@ts-check
// The log of one attempt as lines and steps. Lines are never changed once they are there, so a line's number is its link.

/** @typedef {"command" | "output" | "error"} Kind */
/** @typedef {{text: string, kind: Kind, entry: number, section: number}} Line */
/**
 * @typedef {{step: string, status: string, startedAt: number, endedAt: number, durationMs: number | null,
 *   firstLine: number, lastLine: number, folded: boolean}} Section `lastLine` is one past the end.
 */

const ESCAPE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;

/** @param {string} text */
export const plain = (text) => (text.includes("\x1b") ? text.replace(ESCAPE, "") : text);

/** A progress line draws itself anew after each carriage return; the last drawing counts. @param {string} line */
function settled(line) {
  if (!line.includes("\r")) return line;
  const kept = line.replace(/\r+$/, "");
  return kept.slice(kept.lastIndexOf("\r") + 1);
}

/** How many columns a text takes in a monospaced font. @param {string} text */
export function columns(text) {
  const bare = plain(text);
  let wide = 0;
  if (/[\u1100-\uffe6]/.test(bare)) wide = bare.match(/[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/g)?.length ?? 0;
  return bare.length + wide + (bare.match(/\t/g)?.length ?? 0) * 3;
}

export class LogModel {
  /** @type {Line[]} */
  lines = [];
  /** @type {Section[]} */
  sections = [];
  entries = 0;
  nextSeq = 0;
  /** Changes whenever lines or folds do. */
  revision = 0;

  /** @param {LogOut} entry @returns {boolean} false when it was here before */
  append(entry) {
    if (entry.seq !== null && entry.seq !== undefined) {
      if (entry.seq < this.nextSeq) return false;
      this.nextSeq = entry.seq + 1;
    }
    const section = this.#sectionOf(entry);
    const index = this.sections.length - 1;
    this.#add(entry.command ? `$ ${entry.command}` : null, "command", index);
    this.#add(entry.output, "output", index);
    this.#add(entry.error_message, "error", index);
    section.lastLine = this.lines.length;
    this.entries += 1;
    this.revision += 1;
    return true;
  }

  /** @param {LogOut} entry */
  #sectionOf(entry) {
    const at = Date.parse(entry.created_at);
    let section = this.sections.at(-1);
    if (!section || section.step !== entry.step_name) {
      section = {
        step: entry.step_name,
        status: entry.status,
        startedAt: at - (entry.duration_ms ?? 0),
        endedAt: at,
        durationMs: null,
        firstLine: this.lines.length,
        lastLine: this.lines.length,
        folded: false,
      };
      this.sections.push(section);
    }
    section.status = entry.status;
    section.endedAt = Math.max(section.endedAt, at);
    if (entry.duration_ms !== null && entry.duration_ms !== undefined) section.durationMs = entry.duration_ms;
    return section;
  }

  /** @param {string | null | undefined} text @param {Kind} kind @param {number} section */
  #add(text, kind, section) {
    if (!text) return;
    for (const line of text.replace(/\r?\n$/, "").split("\n")) {
      this.lines.push({ text: settled(line), kind, entry: this.entries, section });
    }
  }

  /** @param {number} section */
  toggle(section) {
    const found = this.sections[section];
    if (found) found.folded = !found.folded;
    this.revision += 1;
  }

  /** @param {boolean} folded */
  foldAll(folded) {
    for (const section of this.sections) section.folded = folded;
    this.revision += 1;
  }

  /** Lines that hold the words, in order. @param {string} words */
  find(words) {
    const wanted = words.toLowerCase();
    const found = [];
    for (let at = 0; at < this.lines.length; at += 1) {
      if (plain(/** @type {Line} */ (this.lines[at]).text).toLowerCase().includes(wanted)) found.push(at);
    }
    return found;
  }
}

/** How long a step took, in ms; what runs is still counting. @param {Section} section @param {boolean} running @param {number} nowMs */
export function lengthOf(section, running, nowMs) {
  if (running) return Math.max(0, nowMs - section.startedAt);
  return section.durationMs ?? Math.max(0, section.endedAt - section.startedAt);
}

/**
 * Where each row of a log stands, for a given width. A row is a section's head (negative) or a line.
 * Heights come from the number of columns, so that nothing must be drawn to be measured.
 */
export class Rows {
  /** -1 - section for a head, else the line. @type {number[]} */
  rows = [];
  /** Top of each row, and the end of the last, in px. @type {number[]} */
  tops = [0];
  /** @type {number[]} */
  #sectionRow = [];
  #upto = 0;
  #started = 0;

  /** @param {LogModel} model @param {{cols: number, linePx: number, headPx: number}} size `cols` 0: no wrapping */
  constructor(model, size) {
    this.model = model;
    this.size = size;
    this.extend();
  }

  get height() {
    return this.tops[this.tops.length - 1] ?? 0;
  }

  /** Takes in what was appended to the model; folding needs new rows. */
  extend() {
    const { lines, sections } = this.model;
    for (; this.#started < sections.length || this.#upto < lines.length; ) {
      const next = sections[this.#started];
      if (next && next.firstLine <= this.#upto) {
        this.#sectionRow[this.#started] = this.rows.length;
        this.#push(-1 - this.#started, this.size.headPx);
        this.#started += 1;
        continue;
      }
      const line = lines[this.#upto];
      if (!line) break;
      if (!sections[line.section]?.folded) this.#push(this.#upto, this.#linePx(line.text));
      this.#upto += 1;
    }
  }

  /** @param {string} text */
  #linePx(text) {
    const { cols, linePx } = this.size;
    return cols > 0 ? Math.max(1, Math.ceil(columns(text) / cols)) * linePx : linePx;
  }

  /** @param {number} row @param {number} height */
  #push(row, height) {
    this.rows.push(row);
    this.tops.push(this.height + height);
  }

  /** The row at a height, by halving. @param {number} px */
  at(px) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.tops[middle] ?? 0) <= px) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** Where a line stands; its section's head when it is folded away. @param {number} line */
  topOf(line) {
    const section = this.model.lines[line]?.section ?? 0;
    const head = this.#sectionRow[section] ?? 0;
    let low = head;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const row = this.rows[middle] ?? 0;
      const value = row < 0 ? (this.model.sections[-1 - row]?.firstLine ?? 0) - 0.5 : row;
      if (value <= line) low = middle;
      else high = middle - 1;
    }
    return this.tops[low] ?? 0;
  }
}
