//@ts-check
// Server-Sent Events over fetch: unlike EventSource it can resume after a refusal, and it notices silence.

/** @typedef {{id: string, event: string, data: string}} Message */

/** Splits a byte stream into messages. `feed` returns those that are complete. */
export class Parser {
  #rest = "";
  #decoder = new TextDecoder();
  #id = "";
  #event = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {Uint8Array} bytes
   * @returns {Message[]}
   */
  feed(bytes) {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    const found = [];
    for (const line of lines) {
      const message = this.#line(line);
      if (message) found.push(message);
    }
    return found;
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") {
      const message = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
      const complete = this.#data.length > 0;
      this.#event = "";
      this.#data = [];
      return complete ? message : null;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    return null;
  }
}

/**
 * Messages of one connection; ends when the server ends it, throws when it breaks, is refused
 * (`Response` as the error) or stays silent for longer than `silenceMs`.
 * @param {string} address
 * @param {{lastId?: string, signal: AbortSignal, silenceMs: number}} options
 * @returns {AsyncGenerator<Message[]>}
 */
export async function* stream(address, { lastId, signal, silenceMs }) {
  const own = new AbortController();
  const stop = () => own.abort();
  signal.addEventListener("abort", stop, { once: true });
  let alarm = setTimeout(stop, silenceMs);
  try {
    const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
    const response = await fetch(address, { headers, credentials: "same-origin", signal: own.signal });
    if (!response.ok || !response.body) throw response;
    const reader = response.body.getReader();
    const parser = new Parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(stop, silenceMs);
      const messages = parser.feed(value);
      if (messages.length > 0) yield messages;
    }
  } finally {
    clearTimeout(alarm);
    own.abort();
    signal.removeEventListener("abort", stop);
  }
}
