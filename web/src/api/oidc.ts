import type { TokenSource } from "./token.js";
import type { ClientConfig } from "./types.js";
export function continueSignIn(_config: ClientConfig | null): TokenSource | null { return null; }
