// The access token. It is only ever in memory. All tabs of a browser share it: the tab that gets a
// new one passes it on, so that the refresh token in the cookie is used once.
import { Failure, failureOf } from "./problem.js";

export type Token = { value: string; renew: number }; // when to renew it, like Date.now()

/** How the tabs tell each other about the session. */
export type SessionMessage =
  | { type: "token"; token: Token }
  | { type: "signed-in" }
  | { type: "signed-out"; ended: boolean };

const channel = new BroadcastChannel("intray-session");
let token: Token | undefined;
let pending: Promise<string> | undefined;

/** Gets a new token with what the browser keeps: the cookie, or the identity provider's session. */
export type TokenSource = () => Promise<Token>;
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
  if (token && Date.now() < token.renew) return Promise.resolve(token.value);
  pending ??= renew().finally(() => (pending = undefined));
  return pending;
}

/** Makes the next call get a new token, because the API has refused this one. */
export function expireToken(refused: string): void {
  if (token?.value === refused) token = undefined;
}

/** Makes the next call get a new token, because the server says that the present one expires. */
export const expireAnyToken = () => void (token = undefined);

async function renew(): Promise<string> {
  if (!source) throw new Failure("unauthenticated");
  const before = token;
  const get = source;
  const renewed = navigator.locks.request("intray-token", () =>
    // Another tab may have got one meanwhile.
    token && token !== before && Date.now() < token.renew ? token : get(),
  );
  const next = await renewed.catch((error: unknown) => {
    if (error instanceof Failure && error.code === "unauthenticated" && source === get) {
      const message = { type: "signed-out", ended: true } as const;
      announceSession(message);
      listener(message);
    }
    throw error;
  });
  if (source !== get) throw new Failure("unauthenticated"); // signed out meanwhile
  useToken(next);
  return next.value;
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
  else listener(data);
};

let listener: (message: Exclude<SessionMessage, { type: "token" }>) => void = () => undefined;

/** Sets what happens when another tab signs in or out, or the server ends the session. */
export const onSessionChange = (next: typeof listener) => void (listener = next);

/** Tells the other tabs about a sign-in or a sign-out. */
export const announceSession = (message: SessionMessage) => channel.postMessage(message);
