//@ts-check
// Colours of a terminal as pieces of text with classes. Nothing of the log is ever parsed as HTML.
import { AnsiUp } from "../vendor/ansi_up.js";

// Window titles and the like, which the library would show as text. Its own links (8) are left to it.
const COMMANDS = /\x1b\](?!8;)[^\x07\x1b]*(?:\x07|\x1b\\)?/g;

/** @typedef {{text: string, look: string, color?: string, background?: string}} Piece */

/** Gives the pieces instead of HTML; everything else is the library's own reading of the escapes. */
class Pieces extends /** @type {new () => any} */ (/** @type {unknown} */ (AnsiUp)) {
  /** @type {Piece[]} */
  pieces = [];

  /** Called by the library for each stretch of one look. @param {any} fragment */
  transform_to_html(fragment) {
    if (!fragment.text) return "";
    /** @type {string[]} */
    const look = [];
    for (const name of ["bold", "faint", "italic", "underline"]) if (fragment[name]) look.push(`ansi-${name}`);
    /** @type {Piece} */
    const piece = { text: fragment.text, look: "" };
    this.#paint(fragment.fg, "fg", look, piece);
    this.#paint(fragment.bg, "bg", look, piece);
    piece.look = look.join(" ");
    this.pieces.push(piece);
    return "";
  }

  /** A link in a log stays text: it may point anywhere. @param {any} packet */
  process_hyperlink(packet) {
    this.pieces.push({ text: packet.text, look: "ansi-underline" });
    return "";
  }

  /** @param {any} colour @param {"fg" | "bg"} side @param {string[]} look @param {Piece} piece */
  #paint(colour, side, look, piece) {
    if (!colour) return;
    if (colour.class_name !== "truecolor") look.push(`${colour.class_name}-${side}`);
    else if (side === "fg") piece.color = `rgb(${colour.rgb.join(" ")})`;
    else piece.background = `rgb(${colour.rgb.join(" ")})`;
  }
}

/**
 * Each line on its own, with the look that the lines before it left behind.
 * @param {string[]} lines
 * @returns {Piece[][]}
 */
export function paint(lines) {
  if (!lines.some((line) => line.includes("\x1b"))) return lines.map((text) => [{ text, look: "" }]);
  const reader = new Pieces();
  return lines.map((line) => {
    reader.pieces = [];
    // The line feed makes the reader give out everything it holds back for an unfinished escape.
    reader.ansi_to_html(`${line.replace(COMMANDS, "")}\n`);
    return reader.pieces.map((piece) => ({ ...piece, text: piece.text.replaceAll("\n", "") })).filter((piece) => piece.text);
  });
}
