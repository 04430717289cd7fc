import { useLayoutEffect, useRef } from "preact/hooks";

/**
 * Keeps the place of the keyboard in a list whose rows go when they are done: the focus moves to
 * the row that takes the place, or to the top of the view after the last one. Returns what the list
 * element needs.
 */
export function useRowFocus(count: number) {
  const list = useRef<HTMLUListElement>(null);
  const at = useRef(-1); // the row that has the focus
  const lost = () => at.current >= 0 && document.activeElement === document.body;

  useLayoutEffect(() => {
    if (!lost()) return;
    const { children } = list.current!;
    const row = children[Math.min(at.current, children.length - 1)];
    if (row) row.querySelector<HTMLElement>("a, button")?.focus();
    else focusTop();
  }, [count]);
  useLayoutEffect(
    () => () => {
      queueMicrotask(() => lost() && focusTop()); // when the list has been removed
    },
    [],
  );

  return {
    ref: list,
    onFocusIn: ({ target }: FocusEvent) => {
      const row = [...list.current!.children].findIndex((each) => each.contains(target as Node));
      at.current = row;
    },
    onFocusOut: ({ relatedTarget }: FocusEvent) => {
      if (relatedTarget) at.current = -1;
    },
  };
}

/** Moves the focus to the top of the view. */
export const focusTop = (): void =>
  document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
