// The access token. It is only ever in memory. All tabs of a browser share it: the tab that gets a
// new one passes it on, so that the refresh token in the cookie is used once.
import { Failure, failureOf } from "./problem.js";
import type { User } from "./types.js";

export type Token = {
  value: string;
  renew: number; // when to renew it, like Date.now()
  refresh?: string; // the identity provider's refresh token
  user?: string; // the id of the user that it belongs to, once that is known
};

/** What the browser keeps of a session: our cookie, or the identity provider's session. */
export type SessionKind = "cookie" | "oidc";

/** What the tabs tell each other about the session. */
export type SessionMessage =
  | { type: "token"; token: Token }
  | { type: "ask" } // for the token
  | { type: "signed-in"; kind: SessionKind }
  | { type: "signed-out"; ended: boolean };

/** What happens to the session in other tabs, or at the next renewal of the token. */
export type SessionChange =
  | Exclude<SessionMessage, { type: "token" | "ask" }>
  | { type: "replaced" }; // by that of another user

const channel = new BroadcastChannel("intray-session");
let token: Token | undefined;
let offered: Token | undefined; // by another tab, to one that has no session yet
let owner: string | undefined; // the id of the user whose session this is
let pending: Promise<string> | undefined;

/**
 * Gets a new token. before is the last one, if there is one. Throws a Failure with the code
 * `unauthenticated` if the session has ended.
 */
export type TokenSource = (before?: Token) => Promise<Token>;
let source: TokenSource | null = null;

/** Begins the session of the user that first belongs to. From now on requests have its tokens. */
export function openSession(next: TokenSource, first: Token & { user: string }): void {
  source = next;
  owner = first.user;
  useToken(first);
}

/** Ends the session in this tab. From now on requests fail. */
export function closeSession(): void {
  source = null;
  token = offered = owner = undefined;
}

/**
 * Returns a token that is valid for a while, and gets a new one if necessary. Throws a Failure with
 * the code `unauthenticated` if the session has ended.
 */
export function currentToken(): Promise<string> {
  if (source && isFresh(token)) return Promise.resolve(token.value);
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

/** Returns a token that is valid for a while and that another tab has, if there is one. */
export async function sharedToken(): Promise<Token | undefined> {
  askForToken();
  for (let waited = 0; waited < 150 && !isFresh(offered); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return isFresh(offered) ? offered : undefined;
}

/** Gets a token from a source while no other tab does, unless another tab has offered its own. */
export async function newToken(from: TokenSource): Promise<Token> {
  return navigator.locks.request("intray-token", async () => {
    await new Promise((done) => setTimeout(done, 20)); // the token of the tab before may be on its way
    if (isFresh(offered)) return offered;
    const next = await from();
    share(next); // with the lock: the tabs that wait for it need no token of their own
    return next;
  });
}

/** Asks the other tabs for their token. */
export const askForToken = () => channel.postMessage({ type: "ask" } satisfies SessionMessage);

async function renew(): Promise<string> {
  if (!source) throw new Failure("unauthenticated");
  const before = token;
  const get = source;
  try {
    await navigator.locks.request("intray-token", async () => {
      if (token !== before && isFresh(token)) return; // of another tab
      const next = await get(token);
      if (source !== get) return;
      if (next.user !== owner) {
        listener({ type: "replaced" }); // another user has signed in, in another tab
        throw new Failure("unauthenticated");
      }
      useToken(next); // with the lock: the next tab needs its refresh token
    });
  } catch (error) {
    if (source === get && isRefusal(error)) {
      const ended = { type: "signed-out", ended: true } as const;
      listener(ended);
      announceSession(ended);
    }
    throw error;
  }
  if (source !== get || !token) throw new Failure("unauthenticated"); // signed out meanwhile
  return token.value;
}

const isRefusal = (error: unknown): boolean =>
  error instanceof Failure && error.code === "unauthenticated";

// Uses a token in all tabs.
function useToken(next: Token): void {
  token = next;
  share(next);
}

const share = (token: Token) =>
  channel.postMessage({ type: "token", token } satisfies SessionMessage);

/** Gets a token with the refresh token in the cookie. */
export async function refreshCookie(): Promise<Token> {
  const response = await fetch("/api/auth/refresh", { method: "POST" }).catch(() => {
    throw new Failure("network");
  });
  if (!response.ok) throw failureOf(response, await response.json().catch(() => null));
  const next = tokenOf(await response.json());
  return { ...next, user: (await userOf(next)).id }; // the cookie may be another user's by now
}

/** Returns the user that a token belongs to. */
export async function userOf({ value }: Token): Promise<User> {
  const headers = { Authorization: `Bearer ${value}` };
  const response = await fetch("/api/me", { headers }).catch(() => {
    throw new Failure("network");
  });
  const body = await response.json().catch(() => null);
  if (!response.ok || !body) throw failureOf(response, body);
  return body as User;
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
  if (data.type === "token") {
    if (!source) offered = data.token;
    else if (data.token.user === owner) token = data.token;
  } else if (data.type !== "ask") listener(data);
  else if (source && isFresh(token)) share(token);
};

let listener: (change: SessionChange) => void = () => undefined;

/** Sets what happens when another tab signs in or out, or the server ends the session. */
export const onSessionChange = (next: typeof listener) => void (listener = next);

/** Tells the other tabs about a sign-in or a sign-out. */
export const announceSession = (message: SessionMessage) => channel.postMessage(message);
