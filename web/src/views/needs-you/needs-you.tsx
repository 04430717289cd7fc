// What cannot go on without the user, each with what to do.
import { useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Document } from "../../api/types.js";
import { deleteDocuments, leaving } from "../../documents/actions.js";
import { addressOf, type Filter } from "../../documents/filter.js";
import { DocumentList } from "../../documents/list.js";
import { connection } from "../../documents/live.js";
import { brokenUploads, needsUser, suggestions } from "../../documents/needs.js";
import { documentOf } from "../../documents/store.js";
import { resyncs } from "../../documents/sync.js";
import { t, tOr } from "../../i18n/index.js";
import { Icon } from "../../ui/icon.js";
import { useRowFocus } from "../../ui/row-focus.js";
import { Suggestions } from "../topics/suggestions.js";
import { InterruptedRow, RefusedRow, UnsortedRow } from "./rows.js";
import "./needs-you.css";

const most = 20; // rows of a section

const filters = {
  unsorted: { status: ["failed"] },
  refused: { status: ["rejected", "quarantined", "expired"] },
  noTopic: { status: ["classified"], topic: "none" },
} satisfies Record<string, Filter>;

export function NeedsYou() {
  const unsorted = useList(filters.unsorted);
  const refused = useList(filters.refused);
  const noTopic = useList(filters.noTopic);
  const lists = [unsorted, refused, noTopic];

  const groups = Map.groupBy(documentsOf(unsorted), ({ reason }) => reason);
  const refusals = documentsOf(refused);
  const strangers = documentsOf(noTopic);
  const broken = brokenUploads();
  const count =
    groups.size + refusals.length + strangers.length + broken.length + suggestions().length;
  const failed = lists.some((list) => list.failure.value);
  const ready = lists.every((list) => list.complete.value || (list.ready.value && count > 0));
  const dismissible = refusals.filter(({ status }) => status !== "quarantined");

  return (
    <div class="needs-you">
      <h1>{t("needsYou")}</h1>
      {failed && (
        <div class="notice warning">
          <p>{t("list.failed")}</p>
          <button
            type="button"
            class="button small"
            onClick={() => lists.forEach((list) => void fill(list))}
          >
            {t("again")}
          </button>
        </div>
      )}
      {count === 0 && !failed && (ready ? <Done /> : <p class="blank muted">{t("loading")}</p>)}
      {broken.length > 0 && (
        <Section title={t("needs.interrupted")} about={t("needs.interrupted.about")}>
          {broken.map(([id, upload]) => (
            <InterruptedRow key={id} id={id} {...upload} />
          ))}
        </Section>
      )}
      {[...groups].map(([reason, documents]) => (
        <Section
          key={reason ?? ""}
          title={tOr(`reason.${reason}`, "reason.other")}
          all={documents.length > most || !unsorted.complete.value ? unsorted.filter : null}
        >
          {documents.slice(0, most).map((document) => (
            <UnsortedRow key={document.id} document={document} again />
          ))}
        </Section>
      ))}
      {strangers.length > 0 && (
        <Section
          title={t("needs.noTopic")}
          about={t("needs.noTopic.about")}
          all={strangers.length > most || !noTopic.complete.value ? noTopic.filter : null}
        >
          {strangers.slice(0, most).map((document) => (
            <UnsortedRow key={document.id} document={document} />
          ))}
        </Section>
      )}
      <Suggestions />
      {refusals.length > 0 && (
        <Section
          title={t("needs.refused")}
          about={t("needs.refused.about")}
          all={refusals.length > most || !refused.complete.value ? refused.filter : null}
          action={
            dismissible.length > 1 && (
              <button
                type="button"
                class="button small"
                onClick={() => deleteDocuments(dismissible.map(({ id }) => id))}
              >
                {t("needs.dismissAll")}
              </button>
            )
          }
        >
          {refusals.slice(0, most).map((document) => (
            <RefusedRow key={document.id} document={document} />
          ))}
        </Section>
      )}
    </div>
  );
}

/** Returns a list that is read until a section is full, and kept current while it is shown. */
function useList(filter: Filter): DocumentList {
  const list = useMemo(() => new DocumentList(filter), []);
  useEffect(() => () => list.close(), []);
  useSignalEffect(() => {
    if (connection.value === "live" || !list.ready.peek()) void fill(list);
  });
  useSignalEffect(() => {
    if (resyncs.value > 0 && list.ready.peek()) void list.refresh();
  });
  return list;
}

// A page may be short or empty although others follow, and some of its documents need nobody.
async function fill(list: DocumentList): Promise<void> {
  do await list.more();
  while (!list.failure.peek() && !list.complete.peek() && documentsOf(list).length <= most);
}

/** Returns the documents of a list that still need the user. */
function documentsOf(list: DocumentList): Document[] {
  return list.ids.value
    .filter((id) => !leaving.value.has(id))
    .flatMap((id) => documentOf(id)?.value ?? [])
    .filter(needsUser);
}

/** Some rows that need the same. */
function Section({
  title,
  about,
  all,
  action,
  children,
}: {
  title: string;
  about?: string;
  all?: Filter | null;
  action?: preact.ComponentChildren;
  children: preact.ComponentChild[];
}) {
  const focus = useRowFocus(children.length);
  return (
    <section class="stack">
      <div class="need-head">
        <div>
          <h2>{title}</h2>
          {about && <p class="muted">{about}</p>}
        </div>
        {action}
      </div>
      <ul class="need-list" {...focus}>
        {children}
      </ul>
      {all && (
        <p>
          <a href={addressOf(all)}>{t("needs.all")}</a>
        </p>
      )}
    </section>
  );
}

function Done() {
  return (
    <div class="blank">
      <Icon name="check" />
      <h2>{t("needs.done")}</h2>
      <p class="muted">{t("needs.done.about")}</p>
    </div>
  );
}
