//@ts-check
// The small lists that issues refer to, by id.
import { useMemo } from "../vendor/hooks.js";
import { get } from "./api.js";
import { everything, useLive } from "./live.js";

/** @typedef {"projects" | "repositories" | "prompts" | "nodes" | "credentials"} Resource */

/** @param {Resource} resource @param {AbortSignal} [signal] */
export const all = (resource, signal) => everything((cursor) => get(`/${resource}`, { limit: 200, cursor }, signal));

/**
 * @param {Resource} resource
 * @returns {{items: any[], byId: Map<string, any>}}
 */
export function useCatalogue(resource) {
  const singular = resource === "repositories" ? "repository" : resource.slice(0, -1);
  const { data } = useLive((signal) => all(resource, signal), [resource], {
    on: [singular, "deleted"],
    concerns: (event, type) => (type === "deleted" ? event.type === singular : resource !== "nodes"),
  });
  return useMemo(() => ({ items: data ?? [], byId: new Map((data ?? []).map((each) => [each.id, each])) }), [data]);
}
