//@ts-check
// What the page does with issues: the verbs, which of them a status allows, and lists that stay live.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { act } from "../components/toast.js";
import { get, post } from "./api.js";
import { subscribe } from "./events.js";
import { t } from "./i18n.js";
import { repeater } from "./live.js";

export const STATUSES = ["pending", "processing", "pending_merge", "completed", "merged", "failed", "cancelled"];
const PAGE = 200;

/** @typedef {"cancel" | "requeue" | "merge" | "reject"} Verb */

/** @type {Record<Verb, {from: string[], to: IssueOut["status"], icon: string}>} */
export const VERBS = {
  merge: { from: ["pending_merge"], to: "merged", icon: "merge" },
  reject: { from: ["pending_merge"], to: "failed", icon: "close" },
  requeue: { from: ["failed", "cancelled", "completed", "pending_merge"], to: "pending", icon: "retry" },
  cancel: { from: ["pending", "processing"], to: "cancelled", icon: "stop" },
};

/** @param {Verb} verb @param {string} status */
export const allows = (verb, status) => VERBS[verb].from.includes(status);

/** What is shown until the server has spoken: work in progress is cancelled only once its node has stopped. @param {Verb} verb @param {IssueOut} issue */
export const expected = (verb, issue) =>
  verb === "cancel" && issue.status === "processing" ? issue : { ...issue, status: VERBS[verb].to };

/**
 * @param {Verb} verb
 * @param {IssueOut} issue
 * @param {(issue: IssueOut) => void} show
 */
export const run = (verb, issue, show) =>
  act({
    now: () => show(expected(verb, issue)),
    undo: () => show(issue),
    send: async () => {
      const answer = await post(`/issues/${issue.id}/${verb}`);
      if (answer?.id === issue.id) show(answer);
    },
    done: verb === "cancel" && issue.status === "processing" ? t("issue.cancel_asked") : t(`issue.did_${verb}`),
  });

/** @typedef {{status?: string, q?: string, project_id?: string, repository_id?: string, node_id?: string, sort?: string}} Filter */

/** @typedef {{items: IssueOut[], total: number, loaded: boolean, error: unknown}} ListState */

/** @type {ListState} */
const NOTHING_YET = { items: [], total: 0, loaded: false, error: null };

/** The address says `status=a,b`; the API takes the name twice. @param {Filter} filter */
const asQuery = (filter) => ({ ...filter, status: filter.status?.split(",") });

/** @param {IssueOut} issue @param {Filter} filter */
function belongs(issue, filter) {
  return !filter.status || filter.status.split(",").includes(issue.status);
}

/**
 * A list of issues page by page, changed in place by events. `wanted(n)` asks for the rows up to n.
 * @param {Filter} filter
 */
export function useIssueList(filter) {
  const [state, setState] = useState(NOTHING_YET);
  const list = useRef(/** @type {IssueList | null} */ (null));
  const key = JSON.stringify(filter);
  useEffect(() => {
    const own = new IssueList(filter, setState);
    list.current = own;
    own.start();
    return () => own.stop();
  }, [key]);
  return {
    ...state,
    wanted: (/** @type {number} */ row) => list.current?.wanted(row),
    show: (/** @type {IssueOut} */ issue) => list.current?.show(issue),
    refresh: () => list.current?.refresh(),
  };
}

class IssueList {
  state = NOTHING_YET;
  /** @type {string | null} */
  #cursor = null;
  #target = 0;
  #filling = false;
  /** @type {(() => void)[]} */
  #ends = [];
  /** @type {Set<string>} */
  #touched = new Set();
  #drawn = 0;

  /** @param {Filter} filter @param {(state: ListState) => void} publish */
  constructor(filter, publish) {
    this.filter = filter;
    this.publish = publish;
    this.head = repeater((signal) => this.#loadHead(signal));
  }

  start() {
    this.#ends = [
      subscribe("issue", (event) => this.#heard(event)),
      subscribe("deleted", (event) => event.type === "issue" && this.#drop(event.id)),
      subscribe("reset", () => this.refresh()),
    ];
    this.refresh();
  }

  stop() {
    this.head.stop();
    cancelAnimationFrame(this.#drawn);
    for (const end of this.#ends) end();
  }

  refresh() {
    this.head.ask();
  }

  /** One drawing a frame, however many events arrive in it. @param {Partial<ListState>} change */
  #set(change) {
    this.state = { ...this.state, ...change };
    cancelAnimationFrame(this.#drawn);
    this.#drawn = requestAnimationFrame(() => this.publish(this.state));
  }

  /** The newest rows, put in front of those already loaded below them. @param {AbortSignal} signal */
  async #loadHead(signal) {
    const touched = this.#touched;
    this.#touched = new Set();
    try {
      const page = await get("/issues", { ...asQuery(this.filter), limit: PAGE }, signal);
      const fresh = new Set(page.items.map((/** @type {IssueOut} */ each) => each.id));
      const seam = this.state.items.findLastIndex((each) => fresh.has(each.id));
      const rest = seam < 0 || !page.next_cursor ? [] : this.state.items.slice(seam + 1).filter((each) => !fresh.has(each.id));
      if (rest.length === 0) this.#cursor = page.next_cursor;
      this.#set({ items: [...page.items, ...rest], total: page.total, loaded: true, error: null });
      const below = rest.filter((each) => touched.has(each.id)).slice(0, 20);
      const again = await Promise.all(below.map((each) => get(`/issues/${each.id}`, {}, signal).catch(() => null)));
      for (const issue of again) if (issue) this.show(issue);
      void this.#fill();
    } catch (error) {
      if (!signal.aborted) this.#set({ error, loaded: true });
    }
  }

  /** @param {number} row */
  wanted(row) {
    this.#target = Math.max(this.#target, row);
    void this.#fill();
  }

  async #fill() {
    if (this.#filling || !this.state.loaded) return;
    this.#filling = true;
    try {
      while (this.#cursor && this.state.items.length < this.#target) {
        const page = await get("/issues", { ...asQuery(this.filter), limit: PAGE, cursor: this.#cursor });
        this.#cursor = page.next_cursor;
        const known = new Set(this.state.items.map((each) => each.id));
        const more = page.items.filter((/** @type {IssueOut} */ each) => !known.has(each.id));
        this.#set({ items: [...this.state.items, ...more], total: page.total });
      }
    } catch (error) {
      this.#set({ error });
    } finally {
      this.#filling = false;
    }
  }

  /** @param {Partial<IssueOut> & {id: string}} event */
  #heard(event) {
    const known = this.state.items.find((each) => each.id === event.id);
    if (known) this.show({ ...known, ...event });
    this.#touched.add(event.id);
    this.head.ask();
  }

  /** @param {IssueOut} issue */
  show(issue) {
    const items = this.state.items.map((each) => (each.id === issue.id ? issue : each));
    this.#set({ items: items.filter((each) => each.id !== issue.id || belongs(each, this.filter)) });
  }

  /** @param {string} id */
  #drop(id) {
    const items = this.state.items.filter((each) => each.id !== id);
    if (items.length < this.state.items.length) this.#set({ items, total: Math.max(0, this.state.total - 1) });
  }
}
