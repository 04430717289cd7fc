// The calls of the API, typed by api/openapi.yaml.
import createClient from "openapi-fetch";
import { Failure, failureOf } from "./problem.js";
import type { paths } from "./schema.js";
import { currentToken, expireToken } from "./token.js";

/**
 * Sends a request to the API with the access token. If the API refuses the token, the request is
 * repeated once with a new one. Throws a Failure if there is no response or no session.
 */
export async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone();
  const token = await currentToken();
  const response = await send(request, token);
  if (response.status !== 401) return response;
  expireToken(token);
  return send(again, await currentToken());
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request).catch((error: unknown) => {
    if (request.signal.aborted) throw error;
    throw new Failure("network");
  });
}

/** The client for calls that need a token. Use it with `call`. */
export const api = createClient<paths>({ fetch: authorizedFetch });

/** Waits for a call of `api` and returns the data of its response, or throws a Failure. */
export async function call<T>(
  pending: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await pending.catch((error: unknown) => {
    if (error instanceof SyntaxError) throw new Failure("proxy"); // the body is not JSON
    if (error instanceof TypeError) throw new Failure("network"); // the body broke off
    throw error;
  });
  if (!response.ok) throw failureOf(response, error);
  return data as T;
}
