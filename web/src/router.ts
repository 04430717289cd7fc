// The address of the page: its path chooses the view, and its query filters the list.
import { computed, signal } from "@preact/signals";

const address = signal(new URL(location.href));

export const path = computed(() => address.value.pathname);
export const query = computed(() => address.value.searchParams);

/** Whether the reader went back to the present address, and so expects the place that they left. */
export let cameBack = false;

addEventListener("popstate", () => {
  cameBack = true;
  address.value = new URL(location.href);
});

/**
 * Goes to an address of this page. With replace, the browser's history gets no new entry. With
 * back, the view shows the place that the reader left.
 */
export function navigate(to: string, { replace = false, back = false } = {}): void {
  const next = new URL(to, location.href);
  if (next.href === location.href) return;
  cameBack = back;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  address.value = next;
  if (!replace) scrollTo(0, 0);
}

/** Returns the present address with other values in its query. Empty ones are removed. */
export function withQuery(changes: Record<string, string>): string {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return path.value + (text && "?" + text);
}

// Links of the page do not load it again.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.("a");
  if (!link || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
  if (link.hash) return; // a place in the view
  event.preventDefault();
  navigate(link.href, { back: "back" in link.dataset });
});
