import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loadViewTexts, t } from "../i18n/index.js";

/** Returns a component whose code, and the texts for it, are loaded when it is shown at first. */
export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let loaded: ComponentType | undefined;
  return function Lazy() {
    const state = useSignal<"loading" | "loaded" | "failed">(loaded ? "loaded" : "loading");
    const failures = useRef(0);
    useEffect(() => {
      if (state.value !== "loading") return;
      Promise.all([load(), loadViewTexts()]).then(
        ([component]) => {
          loaded = component;
          state.value = "loaded";
        },
        () => {
          state.value = "failed"; // offline, or the page has been updated on the server
          if (failures.current++ > 0) void reload();
        },
      );
    }, [state.value]);
    if (state.value === "loaded" && loaded) {
      const View = loaded;
      return <View />;
    }
    if (state.value === "loading") return <p class="blank muted">{t("loading")}</p>;
    return (
      <div class="blank">
        <p>{t("code.network")}</p>
        <button type="button" class="button" onClick={() => (state.value = "loading")}>
          {t("again")}
        </button>
      </div>
    );
  };
}

// Firefox does not load a module again that has failed once, and a server that was updated no
// longer has the page's modules. Only loading the page again helps, unless the server is away.
async function reload(): Promise<void> {
  const response = await fetch(location.href, { method: "HEAD" }).catch(() => null);
  if (response?.ok) location.reload();
}
