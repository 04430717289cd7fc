// The access token. It is only ever in memory. All tabs of a browser share it: the tab that gets a
// new one passes it on, so that the refresh token in the cookie is used once.
import { Failure, failureOf } from "./problem.js";

export type Token = {
  value: string;
  renew: number; // when to renew it, like Date.now()
  refresh?: string; // the identity provider's refresh token
};

/** What the browser keeps of a session: our cookie, or the identity provider's session. */
export type SessionKind = "cookie" | "oidc";

/** What the tabs tell each other about the session. */
export type SessionMessage =
  | { type: "token"; token: Token }
  | { type: "ask" } // for the token
  | { type: "signed-in"; kind: SessionKind }
  | { type: "signed-out"; ended: boolean };

const channel = new BroadcastChannel("intray-session");
let token: Token | undefined;
let pending: Promise<string> | undefined;

/**
 * Gets a new token. before is the last one, if there is one. Throws a Failure with the code
 * `unauthenticated` if the session has ended.
 */
export type TokenSource = (before?: Token) => Promise<Token>;
let source: TokenSource | null = null;

/** Sets where tokens come from. Null ends the session in this tab. */
export function setTokenSource(next: TokenSource | null): void {
  source = next;
  if (!next) token = undefined;
}

/**
 * Returns a token that is valid for a while, and gets a new one if necessary. Throws a Failure with
 * the code `unauthenticated` if the session has ended.
 */
export function currentToken(): Promise<string> {
  if (isFresh(token)) return Promise.resolve(token.value);
  pending ??= renew().finally(() => (pending = undefined));
  return pending;
}

/** Makes the next call get a new token, because the API has refused this one. */
export function expireToken(refused: string): void {
  if (token?.value === refused) expireAnyToken();
}

/** Makes the next call get a new token, because the server says that the present one expires. */
export const expireAnyToken = () => void (token &&= { ...token, renew: 0 });

const isFresh = (token: Token | undefined): token is Token =>
  token !== undefined && Date.now() < token.renew;

/** Reports whether there is a token that is valid for a while, in this tab or in another one. */
export async function sharedToken(): Promise<boolean> {
  if (isFresh(token)) return true;
  channel.postMessage({ type: "ask" } satisfies SessionMessage);
  for (let waited = 0; waited < 150 && !isFresh(token); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return isFresh(token);
}

async function renew(): Promise<string> {
  if (!source) throw new Failure("unauthenticated");
  const before = token;
  const get = source;
  try {
    await navigator.locks.request("intray-token", async () => {
      if (token !== before && isFresh(token)) return; // of another tab
      const next = await get(token);
      if (source === get) useToken(next); // with the lock: the next tab needs its refresh token
    });
  } catch (error) {
    if (source === get && error instanceof Failure && error.code === "unauthenticated") {
      const ended = { type: "signed-out", ended: true } as const;
      listener(ended);
      announceSession(ended);
    }
    throw error;
  }
  if (source !== get || !token) throw new Failure("unauthenticated"); // signed out meanwhile
  return token.value;
}

/** Uses a token that a sign-in or a refresh returned, in all tabs. */
export function useToken(next: Token): void {
  if (next === token) return;
  token = next;
  channel.postMessage({ type: "token", token: next } satisfies SessionMessage);
}

/** Gets a token with the refresh token in the cookie. */
export async function refreshCookie(): Promise<Token> {
  const response = await fetch("/api/auth/refresh", { method: "POST" }).catch(() => {
    throw new Failure("network");
  });
  if (response.ok) return tokenOf(await response.json());
  throw failureOf(response, await response.json().catch(() => null));
}

/** Returns the token of a response to a sign-in or a refresh. */
export function tokenOf(body: { access_token: string; expires_in: number }): Token {
  const lifetime = body.expires_in * 1000;
  const now = Date.now();
  return {
    value: body.access_token,
    renew: now + lifetime - Math.min(30_000, lifetime / 3),
  };
}

channel.onmessage = ({ data }: MessageEvent<SessionMessage>) => {
  if (data.type === "token") token = data.token;
  else if (data.type !== "ask") listener(data);
  else if (source && isFresh(token)) channel.postMessage({ type: "token", token });
};

let listener: (message: Exclude<SessionMessage, { type: "token" | "ask" }>) => void = () =>
  undefined;

/** Sets what happens when another tab signs in or out, or the server ends the session. */
export const onSessionChange = (next: typeof listener) => void (listener = next);

/** Tells the other tabs about a sign-in or a sign-out. */
export const announceSession = (message: SessionMessage) => channel.postMessage(message);
