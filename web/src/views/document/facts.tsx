import { useLayoutEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { asFailure, type Failure } from "../../api/problem.js";
import type { Document } from "../../api/types.js";
import {
  changeTopics,
  deleteDocuments,
  download,
  isStored,
  rename,
  showFailure,
  sortAgain,
} from "../../documents/actions.js";
import { addressOf } from "../../documents/filter.js";
import { documentOf } from "../../documents/store.js";
import { list, topicName } from "../../documents/sync.js";
import { createTopic } from "../../documents/topics.js";
import { bytes, moment, percent, t, tOr } from "../../i18n/index.js";
import { navigate } from "../../router.js";
import { FileName } from "../../ui/file-name.js";
import { Icon } from "../../ui/icon.js";
import { toast } from "../../ui/toasts.js";
import { TopicPicker } from "../../ui/topic-picker.js";
import { ChooseAgain } from "../../uploads/choose-again.js";
import { interrupted } from "../../uploads/queue.js";
import { Outcome } from "../intray/row.js";
import { uploadOf } from "../intray/rows.js";
import { kindOf } from "./kinds.js";
import { Why } from "./why.js";

/** What is known about a document, and what can be done with it. */
export function Facts({ document }: { document: Document }) {
  const { id } = document;
  const stored = isStored(document);
  return (
    <div class="facts-side">
      <div class="stack">
        <Name document={document} />
        <State document={document} />
        {stored && <Topics document={document} />}
        {explained(document) && <Why document={document} />}
        <div class="actions">
          {interrupted.value.has(id) && <ChooseAgain id={id} name={document.filename} />}
          {stored && (
            <>
              <button type="button" class="button small" onClick={() => download(id)}>
                <Icon name="download" />
                {t("download")}
              </button>
              <button
                type="button"
                class="button small"
                disabled={document.status === "uploaded"}
                onClick={() => sortAgain([id])}
              >
                <Icon name="again" />
                {t("sortAgain")}
              </button>
            </>
          )}
          <button
            type="button"
            class="button danger small"
            onClick={() => {
              deleteDocuments([id]);
              navigate(addressOf(list.peek().filter), { back: true });
            }}
          >
            <Icon name="trash" />
            {t("delete")}
          </button>
        </div>
      </div>
      <Details document={document} />
    </div>
  );
}

/** Reports whether the topics of a document are those that the AI provider chose. */
const explained = ({ status, topics, topics_locked: locked }: Document) =>
  status === "classified" && topics.length > 0 && !locked;

/** The name, which becomes a field for renaming. */
function Name({ document }: { document: Document }) {
  const { id, filename } = document;
  const editing = useSignal(false);
  const busy = useSignal(false);
  const failure = useSignal<Failure | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const returns = useRef(false); // the focus, to the button

  useLayoutEffect(() => {
    if (editing.value) {
      const field = input.current!;
      const dot = field.value.lastIndexOf(".");
      field.focus();
      field.setSelectionRange(0, dot > 0 ? dot : field.value.length);
    } else if (returns.current) {
      opener.current?.focus();
    }
    returns.current = editing.value;
  }, [editing.value]);

  const end = () => {
    editing.value = false;
    failure.value = null;
  };
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    const name = input.current!.value.trim();
    if (name === filename) return end();
    if (busy.value) return;
    busy.value = true;
    try {
      await rename(id, name);
      end();
    } catch (error) {
      failure.value = asFailure(error);
      input.current?.focus();
    } finally {
      busy.value = false;
    }
  };

  if (!editing.value) {
    return (
      <div class="document-name">
        <h1>
          <FileName name={filename} />
        </h1>
        {isStored(document) && (
          <button
            ref={opener}
            type="button"
            class="button plain icon-only"
            aria-label={t("document.rename")}
            onClick={() => (editing.value = true)}
          >
            <Icon name="edit" />
          </button>
        )}
      </div>
    );
  }
  const wrong =
    failure.value &&
    (failure.value.code === "invalid"
      ? t("document.name.wrong")
      : tOr(`code.${failure.value.code}`, "code.other"));
  return (
    <form class="field" onSubmit={save} onKeyDown={(event) => event.key === "Escape" && end()}>
      <h1 class="spoken">{filename}</h1>
      <input
        ref={input}
        class="input"
        dir="auto"
        autocomplete="off"
        aria-label={t("document.name")}
        aria-invalid={Boolean(wrong)}
        aria-describedby="document-name-wrong"
        defaultValue={filename}
      />
      <span id="document-name-wrong" class="wrong" role="alert">
        {wrong}
      </span>
      <div class="actions">
        <button type="submit" class="button primary small" disabled={busy.value}>
          {t("save")}
        </button>
        <button type="button" class="button small" onClick={end}>
          {t("cancel")}
        </button>
      </div>
    </form>
  );
}

/** The state in the words of the list. Topics are shown below it. */
function State({ document }: { document: Document }) {
  const { status, topics } = document;
  const sorted = topics.length > 0 && (status === "classified" || status === "failed");
  return (
    <p class="document-state">
      {sorted ? (
        <span class="state muted">
          <Icon name="check" /> {t("document.sorted")}
        </span>
      ) : (
        <Outcome document={document} upload={uploadOf(document.id)} />
      )}
    </p>
  );
}

function Topics({ document: { id, topics, topics_locked: locked } }: { document: Document }) {
  const box = useRef<HTMLDivElement>(null);
  const create = async (name: string) => {
    try {
      const topic = await createTopic("user", { name });
      await changeTopics([id], "add_topics", [topic.id]);
    } catch (error) {
      showFailure(error);
    }
  };
  return (
    <section class="document-topics" aria-label={t("topics")} ref={box}>
      <h2>{t("topics")}</h2>
      <ul>
        {topics.map((topic) => {
          const name = topicName(topic);
          return (
            <li key={topic.id} class={topic.suggested ? "chip suggested" : "chip"}>
              <a class="name" href={`/?topic=${topic.id}`}>
                <bdi>{name}</bdi>
              </a>
              {!locked && <span class="share">{percent(topic.confidence / 100)}</span>}
              <button
                type="button"
                class="remove"
                aria-label={t("topic.removeNamed", { name })}
                onClick={() => {
                  void changeTopics([id], "remove_topics", [topic.id]);
                  box.current!.querySelector<HTMLElement>("[popovertarget]")!.focus();
                }}
              >
                <Icon name="close" />
              </button>
            </li>
          );
        })}
        <li>
          <TopicPicker
            class="button small"
            button={
              <>
                <Icon name="plus" />
                {t("topic.add")}
              </>
            }
            exclude={topics.map((topic) => topic.id)}
            onPick={(topic) => void changeTopics([id], "add_topics", [topic.id])}
            onCreate={(name) => void create(name)}
          />
        </li>
      </ul>
      {locked && topics.length > 0 && <p class="muted small">{t("document.chosen")}</p>}
      {topics.some(({ suggested }) => suggested) && (
        <p class="muted small">
          {t("topic.suggested")} · <a href="/topics">{t("topic.suggestions")}</a>
        </p>
      )}
    </section>
  );
}

function Details({ document }: { document: Document }) {
  const { sha256, duplicate_of: original, classified_by: by } = document;
  const type = document.detected_type ?? document.content_type;
  return (
    <section class="card" aria-label={t("document.facts")}>
      <dl class="details">
        <Detail term={t("document.size")}>{bytes(document.size)}</Detail>
        <Detail term={t("document.type")}>
          {t(kindOf(type))} <bdi class="muted small">{type}</bdi>
        </Detail>
        {document.uploaded_at && (
          <Detail term={t("document.uploadedAt")}>{moment(document.uploaded_at)}</Detail>
        )}
        {document.classified_at && (
          <Detail term={t("document.sortedAt")}>{moment(document.classified_at)}</Detail>
        )}
        {by && (
          <Detail term={t("document.by")}>
            <bdi>{by.model ? `${by.provider} · ${by.model}` : by.provider}</bdi>
          </Detail>
        )}
        {original && (
          <Detail term={t("document.duplicateOf")}>
            <a href={`/documents/${original}`}>
              <FileName
                name={documentOf(original)?.value.filename ?? t("document.duplicateOther")}
              />
            </a>
          </Detail>
        )}
        {sha256 && (
          <Detail term={t("document.digest")}>
            <bdi class="digest">{sha256.slice(0, 12)}…</bdi>
            {navigator.clipboard && (
              <button
                type="button"
                class="button plain icon-only small"
                aria-label={t("document.copy")}
                onClick={async () => {
                  await navigator.clipboard.writeText(sha256);
                  toast({ text: t("document.copied") });
                }}
              >
                <Icon name="copy" />
              </button>
            )}
          </Detail>
        )}
      </dl>
    </section>
  );
}

function Detail({ term, children }: { term: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}
