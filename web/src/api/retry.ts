// Repeating what failed for a reason that passes.
import { asFailure, isTemporary, type Failure } from "./problem.js";

// The longest pause, in milliseconds, unless the server asks for a longer one.
const slowest = 30_000;

const sleeping = new Set<() => void>();

/** Ends all pauses, because what failed may now succeed. */
export const wake = () => sleeping.forEach((end) => end());

/**
 * Waits after a number of failures in a row. Returns the number to count on from, which is zero
 * if `wake` ended the pause. Rejects if stop is aborted.
 */
export function pause(failures: number, stop?: AbortSignal, retryAfter = 0): Promise<number> {
  // Not all pages should return at the same moment.
  const usual = Math.min(500 * 2 ** failures, slowest) * (0.5 + Math.random() / 2);
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => () => {
      clearTimeout(timer);
      sleeping.delete(woken);
      stop?.removeEventListener("abort", stopped);
      settle();
    };
    const woken = end(() => resolve(0));
    const stopped = end(() => reject(stop!.reason));
    const timer = setTimeout(end(() => resolve(failures)), Math.max(usual, retryAfter * 1000));
    sleeping.add(woken);
    stop?.addEventListener("abort", stopped);
    if (stop?.aborted) stopped();
  });
}

/** Reports whether an upload goes on after a failure by itself: also after the next sign-in. */
export const passes = (failure: Failure): boolean =>
  isTemporary(failure) || failure.code === "unauthenticated" || failure.code === "too_many_pending";

/**
 * Calls work until it succeeds, fails with a Failure that does not pass, or stop is aborted. After
 * each other failure it calls failed and waits.
 */
export async function persist<T>(
  work: () => Promise<T>,
  { stop, failed }: { stop?: AbortSignal; failed?: () => void } = {},
): Promise<T> {
  for (let failures = 0; ; ) {
    stop?.throwIfAborted();
    try {
      const result = await work();
      stop?.throwIfAborted();
      return result;
    } catch (error) {
      stop?.throwIfAborted();
      const failure = asFailure(error);
      if (!passes(failure)) throw failure;
      failed?.();
      failures = await pause(failures + 1, stop, failure.retryAfter);
    }
  }
}
