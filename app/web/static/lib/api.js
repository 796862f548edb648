//@ts-check
// The one client of the public API. Every request of the page goes through here.
import { signal } from "../vendor/signals.js";

const BASE = "/api/v1";
const READ_RETRIES_MS = [250, 1000];

/** Grows when the server answers 401: the session has ended. */
export const sessionEnded = signal(0);

/** The server's clock minus this machine's, in ms: ages are told by the database's time. */
let clockSkewMs = 0;

export function serverNow() {
  return Date.now() + clockSkewMs;
}

/** A refusal in the server's own words, or `code: "network"` when no answer came. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} detail
   * @param {{field: string, message: string}[]} errors
   */
  constructor(status, code, detail, errors = []) {
    super(detail);
    this.status = status;
    this.code = code;
    this.errors = errors;
  }
}

/** A list repeats its name. @typedef {Record<string, string | number | boolean | string[] | null | undefined>} Query */

/**
 * @param {string} path
 * @param {Query} [query]
 */
export function url(path, query = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") words.append(name, String(each));
    }
  }
  const text = words.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: Query, body?: unknown, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
async function send(method, path, { query, body, signal } = {}) {
  const init = /** @type {RequestInit} */ ({ method, credentials: "same-origin", headers: { Accept: "application/json" } });
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(url(path, query), init);
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw new ApiError(0, "network", "");
  }
  readClock(response);
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401 && path !== "/auth/login" && path !== "/auth/password") sessionEnded.value += 1;
  throw new ApiError(response.status, answer?.code ?? "", answer?.detail ?? response.statusText, answer?.errors ?? []);
}

/** @param {Response} response */
function readClock(response) {
  const date = response.headers.get("Date");
  if (!date) return;
  // The header has whole seconds: its middle is the best guess, and less than a few seconds is no skew.
  const skew = Date.parse(date) + 500 - Date.now();
  clockSkewMs = Math.abs(skew) > 3000 ? skew : 0;
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * A read may be repeated, so a short outage is waited out.
 * @param {string} path
 * @param {Query} [query]
 * @param {AbortSignal} [signal]
 */
export async function get(path, query, signal) {
  for (const wait of READ_RETRIES_MS) {
    try {
      return await send("GET", path, { ...(query && { query }), ...(signal && { signal }) });
    } catch (problem) {
      const passing = problem instanceof ApiError && (problem.status === 503 || problem.code === "network");
      if (!passing) throw problem;
      await pause(wait);
    }
  }
  return send("GET", path, { ...(query && { query }), ...(signal && { signal }) });
}

/** @param {string} path @param {unknown} [body] */
export const post = (path, body = {}) => send("POST", path, { body });
/** @param {string} path @param {unknown} body */
export const patch = (path, body) => send("PATCH", path, { body });
/** @param {string} path @param {unknown} [body] */
export const put = (path, body = {}) => send("PUT", path, { body });
/** @param {string} path */
export const del = (path) => send("DELETE", path);
