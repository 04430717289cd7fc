// Signing in with an OpenID Connect provider: the authorization code flow with PKCE (RFC 7636), by
// redirects of the whole page. The address that the provider redirects to is the page's root.
import { navigate } from "../router.js";
import { Failure } from "./problem.js";
import type { Refusal } from "./session.js";
import { renewalOf, sharedToken, type Token, type TokenSource } from "./token.js";
import type { ClientConfig } from "./types.js";

type Provider = NonNullable<ClientConfig["oidc"]>;

/** The members of the discovery document that are used. */
type Discovery = { issuer: string; authorization_endpoint: string; token_endpoint: string };

/** A successful response of the token endpoint, and when it was asked for, like Date.now(). */
type Grant = {
  asked: number;
  access_token?: string;
  id_token?: string;
  refresh_token?: string;
  expires_in?: number;
};

/** What this tab has to know when the provider redirects back to it. */
type Attempt = { state: string; nonce: string; verifier: string; address: string; silent: boolean };

/**
 * Why the provider did not sign the user in: an error code of OAuth 2.0 or OpenID Connect, or one
 * of the page.
 */
export class SignInError extends Error {
  constructor(readonly code: string) {
    super(code);
  }

  /** The same, as far as the form for signing in explains it. */
  get refusal(): Refusal {
    if (this.code === "access_denied") return "denied";
    return this.code === otherOrigin ? "elsewhere" : "failed";
  }
}

const otherOrigin = "other_origin"; // of the token endpoint

const attempted = "intray-oidc"; // the key of the Attempt in the session storage

// The provider's session cannot be continued without asking the user, who then signs in anew.
const interactive = new Set([
  "login_required",
  "interaction_required",
  "consent_required",
  "account_selection_required",
]);

/**
 * Leaves the page for the provider's sign-in. Throws a Failure if the provider does not respond,
 * and a SignInError if its configuration is wrong.
 */
export async function beginSignIn(config: ClientConfig): Promise<void> {
  location.assign(await requestURL(config.oidc!, false));
}

/**
 * Continues a sign-in: with the provider's response in the address or, if the browser has had a
 * session, with that of another tab or of the provider, for which the page is left and loaded
 * again. Returns null if there is none of them, and throws a SignInError or a Failure if the
 * sign-in has failed.
 */
export async function continueSignIn(
  config: ClientConfig,
  hadSession: boolean,
): Promise<{ source: TokenSource; first?: Token; shared?: Token } | null> {
  const provider = config.oidc;
  const response = takeResponse();
  if (!provider) return null;
  const source: TokenSource = (before) => refresh(provider, before);
  if (response) {
    const { attempt, values } = response;
    const error = values.get("error");
    if (error && attempt.silent && interactive.has(error)) return null;
    if (error) throw new SignInError(error);
    // A provider that names itself has to be the one that was asked (RFC 9207).
    const issuer = values.get("iss");
    if (issuer !== null && issuer !== provider.issuer) throw new SignInError("invalid_issuer");
    return { source, first: await redeem(provider, attempt, values.get("code")!) };
  }
  if (!hadSession) return null;
  const shared = await sharedToken();
  if (shared) return { source, shared };
  location.replace(await requestURL(provider, true)); // not a page to go back to
  return new Promise<never>(() => undefined);
}

/**
 * Takes the provider's response out of the address. Returns null if there is none, or if it is not
 * the response to this tab's latest request.
 */
function takeResponse(): { attempt: Attempt; values: URLSearchParams } | null {
  const values = new URLSearchParams(location.search);
  if (!values.has("state") || !(values.has("code") || values.has("error"))) return null;
  const attempt = JSON.parse(sessionStorage.getItem(attempted) ?? "null") as Attempt | null;
  sessionStorage.removeItem(attempted);
  const expected = attempt?.state === values.get("state");
  navigate(expected ? attempt!.address : "/", { replace: true });
  return expected ? { attempt: attempt!, values } : null;
}

/** Returns the URL of a request to the provider. silent: it must not ask the user anything. */
async function requestURL(provider: Provider, silent: boolean): Promise<URL> {
  const { authorization_endpoint } = await discover(provider);
  const attempt: Attempt = {
    state: random(),
    nonce: random(),
    verifier: random(),
    address: location.pathname.replace(/^\/+/, "/") + location.search,
    silent,
  };
  sessionStorage.setItem(attempted, JSON.stringify(attempt));
  const url = new URL(authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: "code",
    client_id: provider.client_id,
    redirect_uri: redirectURI(),
    scope: provider.scope,
    state: attempt.state,
    nonce: attempt.nonce,
    code_challenge: await challengeOf(attempt.verifier),
    code_challenge_method: "S256",
    ...audienceOf(provider),
    ...(silent && { prompt: "none" }),
  })) {
    url.searchParams.set(name, value);
  }
  return url;
}

const redirectURI = () => `${location.origin}/`;

// Providers differ in how a client names the API that it wants a token for: by `audience`, or, if
// it is a URL, by `resource` (RFC 8707). They ignore the other one.
function audienceOf({ audience, client_id }: Provider): Record<string, string> {
  if (audience === client_id) return {};
  return URL.canParse(audience) ? { audience, resource: audience } : { audience };
}

async function redeem(provider: Provider, attempt: Attempt, code: string): Promise<Token> {
  const grant = await requestToken(provider, {
    grant_type: "authorization_code",
    code,
    redirect_uri: redirectURI(),
    code_verifier: attempt.verifier,
  });
  // The ID token comes from the provider itself, so that its signature need not be verified.
  const claims = claimsOf(grant.id_token);
  if (claims.nonce !== attempt.nonce || claims.iss !== provider.issuer) {
    throw new SignInError("invalid_token");
  }
  return tokenOf(provider, grant);
}

async function refresh(provider: Provider, before: Token | undefined): Promise<Token> {
  if (!before?.refresh) throw new Failure("unauthenticated");
  try {
    const grant = await requestToken(provider, {
      grant_type: "refresh_token",
      refresh_token: before.refresh,
    });
    const next = tokenOf(provider, { refresh_token: before.refresh, ...grant });
    return { ...next, ...(before.user && { user: before.user }) };
  } catch (error) {
    throw error instanceof SignInError ? new Failure("unauthenticated") : error;
  }
}

/** Returns the token of a grant that the API accepts. */
function tokenOf({ audience, client_id }: Provider, grant: Grant): Token {
  const value = audience === client_id ? grant.id_token : grant.access_token;
  if (!value) throw new SignInError("invalid_token");
  // The grant's expires_in is that of the access token.
  const { iat = 0, exp = 0 } = value === grant.id_token ? claimsOf(value) : {};
  const lifetime = (exp - iat || grant.expires_in || 300) * 1000;
  return {
    value,
    renew: renewalOf(grant.asked, lifetime),
    ...(grant.refresh_token && { refresh: grant.refresh_token }),
  };
}

type Claims = { iss?: string; nonce?: string; iat?: number; exp?: number };

function claimsOf(token = ""): Claims {
  const payload = token.split(".")[1] ?? "";
  try {
    return JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as Claims;
  } catch {
    return {};
  }
}

async function requestToken(provider: Provider, values: Record<string, string>): Promise<Grant> {
  const { token_endpoint } = await discover(provider);
  const body = new URLSearchParams({
    ...values,
    client_id: provider.client_id,
    ...audienceOf(provider),
  });
  const asked = Date.now();
  const init = { method: "POST", body };
  return { ...(await request<Omit<Grant, "asked">>(token_endpoint, init)), asked };
}

let discovery: Discovery | undefined;

async function discover({ issuer }: Provider): Promise<Discovery> {
  if (discovery) return discovery;
  const path = "/.well-known/openid-configuration";
  const found = await request<Discovery>(issuer.replace(/\/$/, "") + path);
  if (found.issuer !== issuer) throw new SignInError("invalid_issuer");
  // The content security policy allows requests to the issuer's origin, which the server knows.
  const { origin } = new URL(found.token_endpoint);
  if (origin !== new URL(issuer).origin) throw new SignInError(otherOrigin);
  return (discovery = found);
}

/**
 * Sends a request to the provider. Throws a Failure if it may succeed later, and a SignInError if
 * the provider refuses it.
 */
async function request<T>(url: string, init: RequestInit = {}): Promise<T> {
  const response = await fetch(url, { ...init, credentials: "omit" }).catch(() => {
    throw new Failure("network");
  });
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body as T;
  if (response.status >= 500 || response.status === 429 || response.ok) throw new Failure("proxy");
  throw new SignInError(typeof body?.error === "string" ? body.error : "invalid_request");
}

/** Returns 256 random bits in the alphabet of base64url. */
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challengeOf(verifier: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return base64url(new Uint8Array(digest));
}

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
