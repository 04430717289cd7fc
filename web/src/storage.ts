// What the browser keeps between visits. Where that is forbidden or full, nothing is kept.

/** Returns the text that is kept under a name, or null. */
export function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Keeps a text under a name. */
export function write(name: string, text: string): void {
  try {
    localStorage.setItem(name, text);
  } catch {
    // The page works without it.
  }
}

/** Removes what is kept under a name. */
export function remove(name: string): void {
  try {
    localStorage.removeItem(name);
  } catch {
    // Then nothing was kept.
  }
}
