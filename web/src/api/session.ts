// The session of the user: signing in and out, in all tabs of the browser.
import { signal } from "@preact/signals";
import { api, call } from "./client.js";
import { asFailure, Failure, failureOf } from "./problem.js";
import {
  announceSession,
  askForToken,
  closeSession,
  newToken,
  onSessionChange,
  openSession,
  refreshCookie,
  tokenOf,
  userOf,
  type SessionKind,
  type Token,
  type TokenSource,
} from "./token.js";
import { read, remove, write } from "../storage.js";
import type { ClientConfig, User } from "./types.js";

export type Session =
  | { state: "starting" }
  | { state: "unreachable" } // the server has not responded yet
  // ended: by the server, not by the user. refusal: why the identity provider's sign-in failed.
  | { state: "signed-out"; ended: boolean; refusal?: Refusal }
  | { state: "signed-in" };

/**
 * Why signing in with the identity provider failed: it did not sign the user in, it did not
 * respond, the server does not accept the account, its token endpoint has another origin than its
 * issuer, or a response is not what it has to be.
 */
export type Refusal = "denied" | "unreachable" | "unknown" | "elsewhere" | "failed";

export const session = signal<Session>({ state: "starting" });

/** The user who is signed in. It stays for as long as the page shows this user's documents. */
export const user = signal<User | null>(null);

/** The server's configuration, which is read once. */
export const config = signal<ClientConfig | null>(null);

// Set while the browser may have a session, so that other visitors cause no refused request.
const remembered = "intray-session";
const leaving = "leaving"; // the user has signed out, which the server does not know yet

// The id of the user whose session it is. Another server of the same host, on another port, can put
// a cookie with the session of another user in place of this one's, but cannot change this.
const owner = "intray-user";

/**
 * Reads the configuration, and continues the session of an earlier visit if there is one, or the
 * one that another tab has announced.
 */
export async function startSession(announced?: SessionKind): Promise<void> {
  const kind = announced ?? read(remembered);
  try {
    if (kind === leaving) await leave();
    else if (kind) askForToken(); // while the configuration is being read
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch("/api/config", { signal }).catch(() => {
      throw new Failure("network");
    });
    if (!response.ok) throw failureOf(response, await response.json().catch(() => null));
    config.value = await response.json();
    // The address may contain the identity provider's response.
    if (kind === "oidc" || new URLSearchParams(location.search).has("state")) {
      if (await continueWithProvider(config.value!, kind === "oidc")) return;
    }
    if (kind === "cookie") {
      await beginSession(refreshCookie, undefined, announced ? null : read(owner));
    }
    else session.value = { state: "signed-out", ended: false };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.code === "unauthenticated") refused();
    else session.value = { state: "unreachable" };
  }
}

/**
 * Continues a sign-in with the identity provider. Returns false if there is none, and otherwise
 * sets the state of the session.
 */
async function continueWithProvider(
  from: ClientConfig,
  hadSession: boolean,
): Promise<boolean> {
  const { continueSignIn, SignInError } = await import("./oidc.js");
  const refuse = (refusal: Refusal) => {
    if (refusal !== "unreachable") remove(remembered);
    session.value = { state: "signed-out", ended: false, refusal };
    return true;
  };
  let found;
  try {
    found = await continueSignIn(from, hadSession);
  } catch (error) {
    if (error instanceof SignInError) {
      return refuse(error.refusal);
    }
    asFailure(error);
    return refuse("unreachable");
  }
  if (!found) {
    if (read(remembered) === "oidc") remove(remembered);
    return false;
  }
  try {
    await beginSession(found.source, found.first ?? found.shared);
  } catch (error) {
    if (!found.first || asFailure(error).code !== "unauthenticated") throw error;
    endSession(false);
    return refuse("unknown");
  }
  remember("oidc", found.first !== undefined);
  return true;
}

/** Remembers the session for the next visit. isNew: it is not that of another tab. */
function remember(kind: SessionKind, isNew: boolean): void {
  write(remembered, kind);
  if (isNew) announceSession({ type: "signed-in", kind });
}

/** Signs in with a password. Throws a Failure. */
export async function signIn(email: string, password: string): Promise<void> {
  const asked = Date.now();
  const response = await fetch("/api/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password, cookie: true }),
  }).catch(() => {
    throw new Failure("network");
  });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw failureOf(response, body);
  remove(owner);
  remember("cookie", true);
  await beginSession(refreshCookie, tokenOf(body, asked));
}

let beginnings = 0; // and ends

let used = false; // whether this page has shown a user's documents

/**
 * Begins a session with tokens from source, the first of which may be known. No other request is
 * sent before it is certain whose session it is. Throws a Failure with the code `unauthenticated` if
 * it is not that of the user whose id is expected, if there is one.
 */
export async function beginSession(
  source: TokenSource,
  first?: Token,
  expected?: string | null,
): Promise<void> {
  const begun = ++beginnings;
  const token = first ?? (await newToken(source));
  const next = await userOf(token);
  if (begun !== beginnings) {
    if (session.peek().state === "signed-out") closeSession(); // meanwhile: nobody uses the token
    return;
  }
  if (expected && expected !== next.id) throw new Failure("unauthenticated");
  write(owner, next.id);
  // Only the same user, whose session has ended, goes on. Nothing is left of any other one.
  if (used && user.value?.id !== next.id) return loadAnew();
  used = true;
  openSession(source, { ...token, user: next.id });
  user.value = next;
  session.value = { state: "signed-in" };
}

// Loads the page again for another user. What the one before was doing is hidden at once.
function loadAnew(): void {
  closeSession();
  session.value = { state: "starting" };
  location.reload();
}

const readUser = () => call<User>(api.GET("/api/me"));

/** Reads the user again, whose quota or settings have changed. */
export async function updateUser(): Promise<void> {
  const next = await readUser();
  if (user.value?.id === next.id) user.value = next;
}

const lastTasks = new Set<() => Promise<void>>();

/** Calls task before the user signs out, for what can only be done with the session. */
export const beforeSignOut = (task: () => Promise<void>) => void lastTasks.add(task);

/** Signs out in all tabs. */
export async function signOut(): Promise<void> {
  await Promise.all([...lastTasks].map((task) => task()));
  endSession(false);
  announceSession({ type: "signed-out", ended: false });
  await leave();
}

// Ends the session on the server. If that fails, the next visit does.
async function leave(): Promise<void> {
  write(remembered, leaving);
  const signal = AbortSignal.timeout(10_000);
  const response = await fetch("/api/auth/logout", { method: "POST", signal }).catch(() => null);
  if (response?.ok && read(remembered) === leaving) remove(remembered);
}

// Ends the session that the server has ended.
function refused(): void {
  remove(remembered);
  endSession(true);
}

/** Ends the session in this tab. ended: the server has ended it. */
export function endSession(ended: boolean): void {
  beginnings++;
  closeSession();
  if (!ended) user.value = null;
  session.value = { state: "signed-out", ended };
}

// What the browser remembers is changed only by the tab in which something happens. The others may
// still see what it was before: changes of localStorage reach other processes of a browser later.
onSessionChange((message) => {
  if (message.type === "replaced") loadAnew();
  else if (message.type === "refused") refused();
  else if (message.type === "signed-out") endSession(message.ended);
  else if (session.value.state !== "signed-in") void startSession(message.kind);
});
