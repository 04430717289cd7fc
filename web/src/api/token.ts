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
  | { type: "none" } // an answer: this tab has no token that is valid for a while
  | { type: "signed-in"; kind: SessionKind }
  | { type: "signed-out"; ended: boolean };

/** What happens to the session in other tabs, or in this one when the token is renewed. */
export type SessionChange =
  | Exclude<SessionMessage, { type: "token" | "ask" | "none" }>
  | { type: "refused" } // the server has ended it
  | { type: "replaced" }; // by that of another user

const channel = new BroadcastChannel("intray-session");
let token: Token | undefined;
let offered: Token | undefined; // of another tab, or a new one, before the session begins
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
  void enter();
  useToken(first);
}

/** Ends the session in this tab. From now on requests fail. */
export function closeSession(): void {
  source = null;
  token = offered = owner = undefined;
  leave?.();
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
  if (!isFresh(offered)) await askTabs();
  return isFresh(offered) ? offered : undefined;
}

/** Gets a token from a source while no other tab does, unless another tab has one. */
export async function newToken(from: TokenSource): Promise<Token> {
  return navigator.locks.request("intray-token", async () => {
    const shared = await sharedToken();
    if (shared) return shared;
    offered = await from();
    await enter(); // with the lock: the tabs that wait for it ask this one
    share(offered);
    return offered;
  });
}

// Every tab that has a session holds this lock, so that the others know how many answers to expect.
const present = "intray-session";
let leave: (() => void) | undefined;

async function enter(): Promise<void> {
  if (leave) return;
  const left = new Promise<void>((resolve) => {
    leave = () => {
      leave = undefined;
      resolve();
    };
  });
  await new Promise<void>((entered) => {
    void navigator.locks.request(present, { mode: "shared" }, () => {
      entered();
      return left;
    });
  });
}

const longestAnswer = 3000; // milliseconds: a tab may be busy, or is being closed
let answered: ((hasToken: boolean) => void) | undefined;

// Asks the other tabs for their token, and waits until one has sent it or none has one.
async function askTabs(): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  let others = held.filter(({ name }) => name === present).length - (leave ? 1 : 0);
  if (others <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, longestAnswer);
    answered = (hasToken) => {
      if (!hasToken && --others > 0) return;
      clearTimeout(timer);
      resolve();
    };
    askForToken();
  });
  answered = undefined;
}

/** Asks the other tabs for their token. */
export const askForToken = () => channel.postMessage({ type: "ask" } satisfies SessionMessage);

async function renew(): Promise<string> {
  if (!source) throw new Failure("unauthenticated");
  const before = token;
  const get = source;
  const isNew = () => token?.value !== before?.value && isFresh(token);
  try {
    await navigator.locks.request("intray-token", async () => {
      if (!isNew()) await askTabs();
      if (isNew()) return; // of another tab
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
      listener({ type: "refused" });
      announceSession({ type: "signed-out", ended: true });
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
  const asked = Date.now();
  const response = await fetch("/api/auth/refresh", { method: "POST" }).catch(() => {
    throw new Failure("network");
  });
  if (!response.ok) throw failureOf(response, await response.json().catch(() => null));
  const next = tokenOf(await response.json(), asked);
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

/**
 * Returns the token of a response to a sign-in or a refresh. asked: when the request was sent, like
 * Date.now(). The token may have been issued at once, however long the response took.
 */
export function tokenOf(body: { access_token: string; expires_in: number }, asked: number): Token {
  return { value: body.access_token, renew: renewalOf(asked, body.expires_in * 1000) };
}

/** Returns when to renew a token that was issued for a lifetime, all in milliseconds. */
export const renewalOf = (issued: number, lifetime: number): number =>
  issued + lifetime - Math.min(30_000, lifetime / 3);

channel.onmessage = ({ data }: MessageEvent<SessionMessage>) => {
  if (data.type === "ask") answer();
  else if (data.type === "none") answered?.(false);
  else if (data.type === "token") {
    take(data.token);
    answered?.(true);
  } else listener(data);
};

function answer(): void {
  const mine = source ? token : offered;
  if (isFresh(mine)) share(mine);
  else if (leave) channel.postMessage({ type: "none" } satisfies SessionMessage);
}

// Takes the token of another tab, unless it is the one that the API has refused.
function take(other: Token): void {
  if (!source) offered = other;
  else if (other.user === owner && other.value !== token?.value) token = other;
}

let listener: (change: SessionChange) => void = () => undefined;

/** Sets what happens when another tab signs in or out, or the server ends the session. */
export const onSessionChange = (next: typeof listener) => void (listener = next);

/** Tells the other tabs about a sign-in or a sign-out. */
export const announceSession = (message: SessionMessage) => channel.postMessage(message);
