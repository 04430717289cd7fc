// The title of the page, which a view can make more precise than its own name.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** The title that the view which is shown has set. Empty for the view's name. */
export const viewTitle = signal("");

/** Sets the title of the page for as long as the calling component is shown. */
export function useViewTitle(title: string): void {
  useEffect(() => {
    viewTitle.value = title;
    return () => void (viewTitle.value = "");
  }, [title]);
}
