import type { Problem, ProblemCode } from "./types.js";

/**
 * Why something failed: a code of the API, or
 * - `network` if no response arrived,
 * - `proxy` if something between the page and the API responded,
 * - `silent` if a response has begun, or was awaited, and nothing more arrived,
 * - `file_changed` if the file is no longer the one that was chosen,
 * - `file_unreadable` if the browser cannot read it (any more),
 * - `storage_refused` if storage, or something before it, refused the file for good,
 * - `sent_too_often` if transfers of a part broke off so often that the gateway takes no more.
 */
export type FailureCode =
  | ProblemCode
  | "network"
  | "proxy"
  | "silent"
  | "file_changed"
  | "file_unreadable"
  | "storage_refused"
  | "sent_too_often";

/** A failed call. `problem` has the members of the API's problem document, if there is one. */
export class Failure extends Error {
  constructor(
    readonly code: FailureCode,
    readonly problem: Partial<Problem> = {},
    readonly retryAfter = 0, // seconds
  ) {
    super(problem.detail ?? code);
  }
}

/** Returns error as a Failure. Anything that is not one is a fault of the page, and is thrown. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  throw error;
}

/** Reports whether the same request may succeed later. */
export const isTemporary = ({ code }: Failure): boolean =>
  code === "network" ||
  code === "proxy" ||
  code === "unavailable" ||
  code === "internal" ||
  code === "rate_limited";

/** Returns the Failure of an unsuccessful response. body is its parsed JSON, if there is any. */
export function failureOf(response: Response, body: unknown): Failure {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return isProblem(body)
    ? new Failure(body.code, body, retryAfter)
    : new Failure("proxy", { status: response.status }, retryAfter);
}

const isProblem = (body: unknown): body is Problem =>
  typeof body === "object" && body !== null && "code" in body;
