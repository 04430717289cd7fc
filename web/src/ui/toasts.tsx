// Short messages about what was just done, most of which can be undone.
import { signal } from "@preact/signals";
import { t } from "../i18n/index.js";
import { announce } from "./announcer.js";
import { Icon } from "./icon.js";
import { focusTop } from "./row-focus.js";

const duration = 10_000; // milliseconds
const most = 3; // that are shown at a time

type Toast = {
  text: string;
  undo?: () => void;
  /** Called when the toast goes away without an undo. */
  done?: () => void;
};

class Shown {
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly toast: Toast) {
    this.run();
  }

  run = () => {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(false), duration);
  };

  /** Keeps the toast while the reader points at it or has the focus in it. */
  hold = () => clearTimeout(this.#timer);

  close = (undo: boolean) => {
    clearTimeout(this.#timer);
    if (!shown.peek().includes(this)) return;
    shown.value = shown.peek().filter((other) => other !== this);
    if (undo) this.toast.undo?.();
    else this.toast.done?.();
  };
}

const shown = signal<readonly Shown[]>([]);

/** Shows a toast for ten seconds. At most one that can be undone is shown at a time. */
export function toast(toast: Toast): void {
  if (toast.undo) settle();
  const all = [...shown.peek(), new Shown(toast)];
  shown.value = all;
  for (const old of all.slice(0, -most)) old.close(false);
  announce(toast.undo ? `${toast.text} ${t("undo.hint")}` : toast.text);
}

/** Ends the time in which the last action can be undone. */
export function settle(): void {
  for (const each of shown.peek()) if (each.toast.undo) each.close(false);
}

// What was not undone when the page is left is done.
addEventListener("pagehide", settle);

addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  if (event.target instanceof HTMLElement && event.target.matches("input, textarea")) return;
  const last = shown.peek().findLast((each) => each.toast.undo);
  if (!last) return;
  event.preventDefault();
  last.close(true);
});

export function Toasts() {
  // The focus does not go with the button.
  const close = (each: Shown, undo: boolean) => {
    focusTop();
    each.close(undo);
  };
  return (
    <>
      {shown.value.map((each) => (
        <div
          class="toast"
          onPointerEnter={each.hold}
          onPointerLeave={each.run}
          onFocusIn={each.hold}
          onFocusOut={each.run}
        >
          <span>{each.toast.text}</span>
          {each.toast.undo && (
            <button class="button small" type="button" onClick={() => close(each, true)}>
              {t("undo")}
            </button>
          )}
          <button
            class="button plain icon-only small"
            type="button"
            aria-label={t("close")}
            onClick={() => close(each, false)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
    </>
  );
}
