import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";

/**
 * A button that opens a panel beneath it, which closes with Escape, a click elsewhere or, with
 * closeOnClick, on any of its controls.
 */
export function Popover({
  button,
  label,
  tabindex = 0,
  class: className = "button plain icon-only",
  closeOnClick = true,
  onOpen,
  children,
}: {
  button: ComponentChildren;
  label?: string;
  tabindex?: number;
  class?: string;
  closeOnClick?: boolean;
  /** Called before the panel is shown, and after it was hidden. */
  onOpen?: (open: boolean) => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const opener = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const open = useSignal(false); // what is not seen is not drawn

  const place = () => {
    const at = opener.current!.getBoundingClientRect();
    const { style, offsetWidth: width, offsetHeight: height } = panel.current!;
    const rightToLeft = document.documentElement.dir === "rtl";
    const start = rightToLeft ? at.left : at.right - width;
    const below = at.bottom + 4 + height <= innerHeight || at.top < height;
    style.left = `${Math.max(8, Math.min(start, innerWidth - width - 8))}px`;
    style.top = below ? `${at.bottom + 4}px` : `${at.top - height - 4}px`;
  };

  return (
    <>
      <button
        ref={opener}
        type="button"
        class={className}
        aria-label={label}
        tabindex={tabindex}
        aria-haspopup="true"
        popovertarget={id}
      >
        {button}
      </button>
      <div
        ref={panel}
        id={id}
        popover="auto"
        onBeforeToggle={(event) => {
          if (event.newState !== "open") return;
          open.value = true;
          onOpen?.(true);
        }}
        onToggle={(event) => {
          open.value = event.newState === "open";
          if (!open.value) return onOpen?.(false);
          if (!opener.current) return; // its row is gone
          place();
          panel.current!.querySelector<HTMLElement>("button, a, input, select")?.focus();
        }}
        onClick={(event) => {
          if (closeOnClick && (event.target as Element).closest("button, a")) {
            panel.current?.hidePopover(); // unless its row is gone
          }
        }}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          const items = [...panel.current!.querySelectorAll<HTMLElement>(".menu-item")];
          const at = items.indexOf(document.activeElement as HTMLElement);
          if (at < 0) return;
          event.preventDefault();
          const step = event.key === "ArrowDown" ? 1 : -1;
          items[(at + step + items.length) % items.length]!.focus();
        }}
      >
        {open.value && children}
      </div>
    </>
  );
}
