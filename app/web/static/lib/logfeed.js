//@ts-check
// An issue's log, whole and in order: first what is there, then what comes. The tab's one event stream says when to read on.
import { get, url } from "./api.js";
import { subscribe } from "./events.js";
import { repeater } from "./live.js";
import { LogModel } from "./logmodel.js";
import { stream } from "./sse.js";

const PAGE = 200;
// Beyond this many entries one streamed answer is faster than pages.
const PAGED_UP_TO = 600;
const READ_EVERY_MS = 120;
const SILENCE_MS = 40_000;
/** The key of entries that were written before attempts were recorded. */
export const EARLIER = "earlier";

export class LogFeed {
  /** @type {Map<string, LogModel>} by attempt id */
  models = new Map();
  /** What is there has been read. */
  complete = false;
  /** @type {unknown} */
  error = null;
  #lastId = "";
  /** @type {(() => void)[]} */
  #ends = [];
  #drawn = 0;

  /** @param {string} issueId @param {() => void} changed at most once a frame */
  constructor(issueId, changed) {
    this.issueId = issueId;
    this.changed = changed;
    this.reader = repeater((signal) => this.#read(signal), READ_EVERY_MS);
  }

  start() {
    this.#ends = [
      subscribe("log", (event) => event.issue_id === this.issueId && this.reader.ask()),
      subscribe("issue", (event) => event.id === this.issueId && this.reader.ask()),
      subscribe("reset", () => this.reader.ask()),
    ];
    this.reader.ask();
  }

  stop() {
    this.reader.stop();
    cancelAnimationFrame(this.#drawn);
    for (const end of this.#ends) end();
  }

  #redraw() {
    cancelAnimationFrame(this.#drawn);
    this.#drawn = requestAnimationFrame(this.changed);
  }

  /** @param {LogOut} entry */
  #take(entry) {
    const key = entry.attempt_id ?? EARLIER;
    const model = this.models.get(key) ?? new LogModel();
    this.models.set(key, model);
    model.append(entry);
    this.#lastId = entry.id;
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    try {
      if (!this.complete) await this.#catchUp(signal);
      await this.#pages(signal);
      this.complete = true;
      this.error = null;
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
      setTimeout(() => this.reader.ask(), 3000);
    }
    this.#redraw();
  }

  /** @param {AbortSignal} signal */
  async #pages(signal) {
    for (;;) {
      const page = await get(`/issues/${this.issueId}/logs`, { after: this.#lastId, limit: PAGE }, signal);
      for (const entry of page.items) this.#take(entry);
      if (page.items.length < PAGE) return;
      this.#redraw();
    }
  }

  /** A long log comes as one stream, left as soon as everything that was there has arrived. @param {AbortSignal} signal */
  async #catchUp(signal) {
    const { total } = await get(`/issues/${this.issueId}/logs`, { limit: 1 }, signal);
    if (total <= PAGED_UP_TO) return;
    const address = url(`/issues/${this.issueId}/logs/stream`);
    let got = 0;
    for await (const messages of stream(address, { signal, silenceMs: SILENCE_MS, lastId: this.#lastId })) {
      for (const message of messages) {
        if (message.event === "end") return;
        if (message.event !== "log") continue;
        this.#take(JSON.parse(message.data));
        got += 1;
      }
      this.#redraw();
      if (got >= total) return;
    }
  }
}
