//@ts-check
// One event stream for the whole tab. Views subscribe; whether the page is fresh is told by `connection`.
import { signal } from "../vendor/signals.js";
import { sessionEnded, url } from "./api.js";
import { stream } from "./sse.js";

// The server says something at least every 15 s.
const SILENCE_MS = 40_000;
const BACKOFF_MS = [200, 500, 1000, 2000, 5000];

/** @typedef {"connecting" | "live" | "reconnecting"} Connection */

export const connection = signal(/** @type {Connection} */ ("connecting"));
/** When the page was last known to be fresh, ms of this machine. */
export const freshUntil = signal(0);

/** @type {Map<string, Set<(data: any) => void>>} */
const subscribers = new Map();
/** @type {AbortController | null} */
let running = null;

/**
 * `type`: issue, node, log, deleted, other names of the server, or `reset` (fetch everything again).
 * @param {string} type
 * @param {(data: any) => void} heard
 * @returns {() => void} ends the subscription
 */
export function subscribe(type, heard) {
  const those = subscribers.get(type) ?? new Set();
  subscribers.set(type, those.add(heard));
  return () => those.delete(heard);
}

/** @param {string} type @param {any} data */
function publish(type, data) {
  for (const heard of [...(subscribers.get(type) ?? [])]) heard(data);
}

export function connect() {
  if (running) return;
  running = new AbortController();
  void keepConnected(running.signal);
}

export function disconnect() {
  running?.abort();
  running = null;
  connection.value = "connecting";
}

/** @param {AbortSignal} ended */
async function keepConnected(ended) {
  let lastId = "";
  let failures = 0;
  while (!ended.aborted) {
    try {
      for await (const messages of stream(url("/events"), { lastId, signal: ended, silenceMs: SILENCE_MS })) {
        for (const message of messages) {
          if (message.id) lastId = message.id;
          failures = 0;
          receive(message);
        }
      }
    } catch (problem) {
      if (problem instanceof Response && problem.status === 401) {
        sessionEnded.value += 1;
        return;
      }
    }
    if (ended.aborted) return;
    if (connection.value === "live") freshUntil.value = Date.now();
    connection.value = "reconnecting";
    const wait = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? 5000;
    failures += 1;
    await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
  }
}

/** @param {import("./sse.js").Message} message */
function receive(message) {
  if (message.event === "hello") {
    const { resumed } = JSON.parse(message.data);
    // What was fetched before this stream began may already be old.
    if (!resumed) publish("reset", {});
    connection.value = "live";
    return;
  }
  publish(message.event, JSON.parse(message.data));
}

addEventListener("online", () => {
  if (running && connection.value === "reconnecting") {
    disconnect();
    connection.value = "reconnecting";
    connect();
  }
});
