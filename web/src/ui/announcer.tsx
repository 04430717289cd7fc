import { signal } from "@preact/signals";

const spoken = signal("");

/**
 * Has screen readers speak a text when they are idle. Speak in sums: each text replaces the one
 * before it.
 */
export function announce(text: string): void {
  spoken.value = "";
  // The region has to be empty first for the same text to be spoken again.
  requestAnimationFrame(() => (spoken.value = text));
}

/** The live region. The page has one, which is always there. */
export function Announcer() {
  return (
    <div class="spoken" role="status">
      {spoken}
    </div>
  );
}
