// The session of the user: signing in and out, in all tabs of the browser.
import { signal } from "@preact/signals";
import { api, call } from "./client.js";
import { Failure, failureOf } from "./problem.js";
import {
  announceSession,
  onSessionChange,
  refreshCookie,
  setTokenSource,
  tokenOf,
  useToken,
  type Token,
  type TokenSource,
} from "./token.js";
import type { ClientConfig, User } from "./types.js";

export type Session =
  | { state: "starting" }
  | { state: "unreachable" } // the server has not responded yet
  | { state: "signed-out"; ended: boolean } // ended: by the server, not by the user
  | { state: "signed-in" };

export const session = signal<Session>({ state: "starting" });

/** The user who is signed in. It stays for as long as the page shows this user's documents. */
export const user = signal<User | null>(null);

/** The server's configuration, which is read once. */
export const config = signal<ClientConfig | null>(null);

// Set while the browser may have a session, so that other visitors cause no refused request.
const remembered = "intray-session";

/** Reads the configuration, and continues the session of an earlier visit if there is one. */
export async function startSession(): Promise<void> {
  try {
    const response = await fetch("/api/config").catch(() => {
      throw new Failure("network");
    });
    if (!response.ok) throw failureOf(response, await response.json().catch(() => null));
    config.value = await response.json();
    const source = await rememberedSource();
    if (!source) session.value = { state: "signed-out", ended: false };
    else await beginSession(source);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.code !== "unauthenticated") session.value = { state: "unreachable" };
  }
}

async function rememberedSource(): Promise<TokenSource | null> {
  const kind = localStorage.getItem(remembered);
  if (kind === "oidc" || new URLSearchParams(location.search).has("code")) {
    return (await import("./oidc.js")).continueSignIn(config.value);
  }
  return kind === "cookie" ? refreshCookie : null;
}

/** Signs in with a password. Throws a Failure. */
export async function signIn(email: string, password: string): Promise<void> {
  const response = await fetch("/api/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password, cookie: true }),
  }).catch(() => {
    throw new Failure("network");
  });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw failureOf(response, body);
  await beginSession(refreshCookie, tokenOf(body));
  localStorage.setItem(remembered, "cookie");
  announceSession({ type: "signed-in" });
}

let beginnings = 0; // and ends

/** Begins a session with tokens from source, the first of which may be known. */
export async function beginSession(source: TokenSource, first?: Token): Promise<void> {
  const begun = ++beginnings;
  setTokenSource(source);
  if (first) useToken(first);
  const next = await readUser();
  if (begun !== beginnings) return; // signed out meanwhile
  if (user.value && user.value.id !== next.id) return location.reload(); // nothing of the other's
  user.value = next;
  session.value = { state: "signed-in" };
}

const readUser = () => call<User>(api.GET("/api/me"));

/** Reads the user again, whose quota or settings have changed. */
export async function updateUser(): Promise<void> {
  const next = await readUser();
  if (user.value?.id === next.id) user.value = next;
}

/** Signs out in all tabs. */
export async function signOut(): Promise<void> {
  endSession(false);
  announceSession({ type: "signed-out", ended: false });
  await fetch("/api/auth/logout", { method: "POST" }).catch(() => undefined);
}

/** Ends the session in this tab. ended: the server has ended it. */
export function endSession(ended: boolean): void {
  beginnings++;
  setTokenSource(null);
  localStorage.removeItem(remembered);
  if (!ended) user.value = null;
  session.value = { state: "signed-out", ended };
}

onSessionChange((message) => {
  if (message.type === "signed-out") endSession(message.ended);
  else if (session.value.state !== "signed-in") void startSession();
});
