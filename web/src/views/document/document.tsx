// One document: what is in the file, what is known about it, and what can be done with it.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api, call } from "../../api/client.js";
import { asFailure, type Failure } from "../../api/problem.js";
import type { Document } from "../../api/types.js";
import { leaving } from "../../documents/actions.js";
import { addressOf } from "../../documents/filter.js";
import { connection } from "../../documents/live.js";
import { documentOf, hold, onChange, put } from "../../documents/store.js";
import { list, resyncs } from "../../documents/sync.js";
import { t, tOr } from "../../i18n/index.js";
import { navigate, path } from "../../router.js";
import { Icon } from "../../ui/icon.js";
import { useViewTitle } from "../../ui/title.js";
import { opened } from "../intray/rows.js";
import { Facts } from "./facts.js";
import { Preview } from "./preview.js";
import "./document.css";

/** A document that is shown; undefined while it is read. */
type Shown = Document | "gone" | Failure | undefined;

export function DocumentView() {
  const id = path.value.slice("/documents/".length);
  return (
    <>
      <Neighbours id={id} />
      <Opened key={id} id={id} />
    </>
  );
}

function Opened({ id }: { id: string }) {
  const shown = useSignal<Shown>(documentOf(id)?.peek());

  const read = async () => {
    try {
      put(await call(api.GET("/api/documents/{id}", { params: { path: { id } } })));
    } catch (error) {
      const failure = asFailure(error);
      if (failure.code === "not_found" || failure.code === "invalid") shown.value = "gone";
      else if (!documentOf(id)) shown.value = failure;
    }
  };

  useEffect(() => hold((other) => other === id), []);
  useEffect(
    () =>
      onChange((change) => {
        if ("deleted" in change) {
          if (change.deleted === id) shown.value = "gone";
        } else if (change.document.id === id) {
          shown.value = documentOf(id)!.peek();
        }
      }),
    [],
  );
  // At first, after a gap in the changes, and when the server can be reached again.
  useSignalEffect(() => {
    void resyncs.value;
    if (connection.value === "live" || shown.peek() === undefined) void read();
  });

  const { value } = shown;
  if (value === undefined) return <p class="blank muted">{t("loading")}</p>;
  if (value === "gone") return <Gone />;
  if (value instanceof Error) {
    return (
      <div class="blank">
        <p>{tOr(`code.${value.code}`, "code.other")}</p>
        <button type="button" class="button" onClick={read}>
          {t("again")}
        </button>
      </div>
    );
  }
  return (
    <div class="document">
      <Title name={value.filename} />
      <Facts document={value} />
      <Preview document={value} />
    </div>
  );
}

function Title({ name }: { name: string }) {
  useViewTitle(name);
  return null;
}

function Gone() {
  return (
    <div class="blank">
      <Icon name="file" />
      <h1>{t("document.gone")}</h1>
      <a class="button" href={addressOf(list.value.filter)}>
        {t("toIntray")}
      </a>
    </div>
  );
}

/** The way back to the list, and to the documents before and after this one in it. */
function Neighbours({ id }: { id: string }) {
  const ids = list.value.ids.value.filter((other) => other === id || !leaving.value.has(other));
  const at = ids.indexOf(id);
  const previous = at > 0 ? ids[at - 1] : undefined;
  const next = at >= 0 ? ids[at + 1] : undefined;
  const last = at >= 0 && !next;

  useEffect(() => void (opened.id = id), [id]);
  useEffect(() => {
    if (last) void list.peek().more();
  }, [last]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const to = event.key === "ArrowUp" ? previous : event.key === "ArrowDown" ? next : undefined;
      if (!to || (event.target as Element).matches("input, select, textarea")) return;
      event.preventDefault();
      navigate(`/documents/${to}`);
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [previous, next]);

  const step = (to: string | undefined, key: "previous" | "next") => (
    <button
      type="button"
      class="button plain icon-only"
      aria-disabled={!to}
      aria-label={t(`document.${key}`)}
      aria-keyshortcuts={key === "previous" ? "Alt+ArrowUp" : "Alt+ArrowDown"}
      onClick={() => to && navigate(`/documents/${to}`)}
    >
      <Icon name={key === "previous" ? "up" : "down"} />
    </button>
  );

  return (
    <nav class="document-nav" aria-label={t("files")}>
      <a class="button plain back" href={addressOf(list.value.filter)} data-back>
        <Icon name="back" />
        {t("document.back")}
      </a>
      {at >= 0 && (
        <>
          {step(previous, "previous")}
          {step(next, "next")}
        </>
      )}
    </nav>
  );
}
