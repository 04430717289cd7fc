import type { TokenSource } from "./token.js";
import type { ClientConfig } from "./types.js";
export async function continueSignIn(_config: ClientConfig | null): Promise<TokenSource | null> { return null; }
export async function beginSignIn(_config: ClientConfig): Promise<void> {}
