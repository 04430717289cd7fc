import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.js";

/** Returns a component whose code is loaded when it is shown for the first time. */
export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let loaded: ComponentType | undefined;
  return function Lazy() {
    const state = useSignal<"loading" | "loaded" | "failed">(loaded ? "loaded" : "loading");
    useEffect(() => {
      if (state.value !== "loading") return;
      load().then(
        (component) => {
          loaded = component;
          state.value = "loaded";
        },
        () => (state.value = "failed"), // offline, or the page has been updated on the server
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
