//@ts-check
import { effect, signal } from "../vendor/signals.js";
import { ApiError, get, post, sessionEnded } from "./api.js";
import { connect, disconnect } from "./events.js";

/** undefined: not known yet; null: nobody is logged in. */
export const user = signal(/** @type {UserOut | null | undefined} */ (undefined));

/** Asks who is logged in; a refusal is an answer, an outage is thrown. Without a cookie there is nobody to ask about. */
export async function findUser() {
  if (document.documentElement.dataset["session"] === "none") {
    user.value = null;
    return;
  }
  try {
    user.value = await get("/auth/me");
  } catch (problem) {
    if (!(problem instanceof ApiError && problem.status === 401)) throw problem;
    user.value = null;
  }
}

/** @param {string} email @param {string} password */
export async function login(email, password) {
  user.value = (await post("/auth/login", { email, password })).user;
}

export async function logout() {
  // Whatever the server answers, this tab forgets the person.
  await post("/auth/logout").catch(() => null);
  user.value = null;
}

effect(() => {
  if (sessionEnded.value > 0) user.value = null;
});

effect(() => {
  if (user.value) connect();
  else disconnect();
});
