import type { Document } from "../../api/types.js";
import {
  changeTopics,
  deleteDocuments,
  download,
  isStored,
  sortAgain,
} from "../../documents/actions.js";
import { iconOf } from "../../documents/icons.js";
import { documentOf } from "../../documents/store.js";
import { topicName } from "../../documents/sync.js";
import { bytes, percent, t, tOr, when } from "../../i18n/index.js";
import { ChooseAgain } from "../../uploads/choose-again.js";
import { interrupted, type Upload } from "../../uploads/queue.js";
import { FileName } from "../../ui/file-name.js";
import { Icon } from "../../ui/icon.js";
import { Popover } from "../../ui/menu.js";
import { TopicChip } from "../../ui/topic-chip.js";
import { selection, type Row } from "./rows.js";

/** One file: its name, what becomes of it, and what can be done. */
export function FileRow({
  row,
  index,
  active,
  onPick,
}: {
  row: Row;
  index: number;
  active: boolean;
  /** Called when the reader clicks the checkbox; range: with Shift. */
  onPick: (range: boolean) => void;
}) {
  const { upload, id } = row;
  const document = id ? documentOf(id)?.value : undefined;
  const name = document?.filename ?? upload?.name ?? "";
  const size = document?.size ?? upload?.size ?? 0;
  const type = document?.detected_type ?? document?.content_type ?? upload?.type ?? "";
  const chosen = id !== undefined && selection.value.has(id);

  return (
    <div
      class="row"
      role="row"
      aria-rowindex={index + 1}
      aria-selected={chosen}
      tabindex={active ? 0 : -1}
      data-index={index}
    >
      <div role="gridcell" class="pick">
        <input
          type="checkbox"
          tabindex={-1}
          aria-label={t("row.select", { name })}
          checked={chosen}
          disabled={!id}
          onClick={({ shiftKey }) => onPick(shiftKey)}
        />
      </div>
      <div role="gridcell" class="file">
        <Icon name={iconOf(type)} />
        <div class="about">
          {document ? (
            <a
              href={`/documents/${document.id}`}
              aria-label={name}
              tabindex={active ? 0 : -1}
            >
              <FileName name={name} />
            </a>
          ) : (
            <FileName name={name} />
          )}
          <span class="muted small facts">
            <span>{bytes(size)}</span>
            {document && <span>{when(document.created_at)}</span>}
            {document?.duplicate_of && (
              <a href={`/documents/${document.duplicate_of}`} tabindex={active ? 0 : -1}>
                {t("duplicate")}
              </a>
            )}
          </span>
        </div>
      </div>
      <div role="gridcell" class="outcome">
        <Outcome document={document} upload={upload} />
      </div>
      <div role="gridcell" class="tools">
        <Tools document={document} upload={upload} name={name} active={active} />
      </div>
    </div>
  );
}

/** What becomes of a file: how far its upload is, its topics, or why it has none. */
export function Outcome(props: { document: Document | undefined; upload: Upload | undefined }) {
  const { document, upload } = props;
  const waits = !document || document.status === "pending" || document.status === "expired";
  if (upload && waits) return <UploadOutcome upload={upload} />;
  if (!document) return null;
  const { status, reason, topics } = document;
  switch (status) {
    case "pending":
      return interrupted.value.has(document.id) ? (
        <span class="state warning">{t("state.interrupted")}</span>
      ) : (
        <span class="state muted">{t("state.pending")}</span>
      );
    case "uploaded":
      return (
        <span class="state muted">
          <span class="spinner" aria-hidden="true" />
          {t(document.retrying ? "state.retrying" : "state.sorting")}
        </span>
      );
    case "classified":
      if (topics.length === 0) return <span class="state muted">{t("state.noTopic")}</span>;
      return <Chips document={document} />;
    case "failed":
      // Whoever has chosen topics has done what there was to do.
      if (topics.length > 0) return <Chips document={document} />;
      return (
        <span class="state warning">
          <Icon name="attention" />
          {tOr(`reason.${reason}`, "reason.other")}
        </span>
      );
    case "rejected":
    case "quarantined":
      return <span class="state danger">{tOr(`reason.${reason}`, "reason.other")}</span>;
    default:
      return <span class="state muted">{t("state.expired")}</span>;
  }
}

function Chips({ document: { topics, topics_locked } }: { document: Document }) {
  return (
    <span class="chips">
      {topics.slice(0, 3).map((topic) => (
        <TopicChip key={topic.id} topic={topic} locked={topics_locked} />
      ))}
      {topics.length > 3 && <span class="muted small">+{topics.length - 3}</span>}
    </span>
  );
}

function UploadOutcome({ upload }: { upload: Upload }) {
  const state = upload.state.value;
  if (state === "refused" || state === "failed") {
    const { code = "other", problem } = upload.failure.value ?? {};
    const { limit = 0, left = 0 } = problem ?? {};
    return (
      <span class="state danger">
        {tOr(`code.${code}`, "code.other", {
          limit: code === "too_large" ? bytes(limit) : limit,
          left: bytes(Math.max(0, left)),
        })}
        {code === "quota_exceeded" && <a href="/?sort=size">{t("space.make")}</a>}
      </span>
    );
  }
  const share = upload.size ? upload.sent.value / upload.size : 0;
  const text = {
    waiting: t("state.waiting"),
    sending: t("state.sending", { share: percent(share) }),
    paused: t("state.paused", { share: percent(share) }),
    retrying: t("state.resuming"),
    sent: t("state.sent"),
  }[state];
  return (
    <span class="state muted sending">
      <span>{text}</span>
      {state !== "waiting" && state !== "sent" && (
        <progress class="bar" aria-label={text} max={upload.size || 1} value={upload.sent.value} />
      )}
    </span>
  );
}

/** What can be done with a file: the next step as a button, the others in a menu. */
function Tools(props: {
  document: Document | undefined;
  upload: Upload | undefined;
  name: string;
  active: boolean;
}) {
  const { document, upload, name, active } = props;
  const state = upload?.state.value;
  const going = state === "sending" || state === "waiting" || state === "retrying";
  const id = document?.id;
  const broken = id !== undefined && !upload && interrupted.value.has(id);

  return (
    <>
      {upload && (state === "sending" || state === "retrying" || state === "paused") && (
        <button
          type="button"
          class="button plain icon-only"
          tabindex={active ? 0 : -1}
          aria-label={t(state === "paused" ? "row.resume" : "row.pause", { name })}
          onClick={() => (state === "paused" ? upload.resume() : upload.pause())}
        >
          <Icon name={state === "paused" ? "play" : "pause"} />
        </button>
      )}
      {broken && <ChooseAgain id={id} name={name} tabindex={active ? 0 : -1} />}
      {upload && !document && !going && state !== "paused" ? (
        <button
          type="button"
          class="button plain icon-only"
          tabindex={active ? 0 : -1}
          aria-label={t("row.dismiss", { name })}
          onClick={() => upload.dismiss()}
        >
          <Icon name="close" />
        </button>
      ) : (
        <Popover
          button={<Icon name="more" />}
          label={t("row.actions", { name })}
          tabindex={active ? 0 : -1}
        >
          {document && isStored(document) && (
            <>
              <button type="button" class="menu-item" onClick={() => download(document.id)}>
                <Icon name="download" />
                {t("download")}
              </button>
              <button type="button" class="menu-item" onClick={() => sortAgain([document.id])}>
                <Icon name="again" />
                {t("sortAgain")}
              </button>
              {document.topics.map((topic) => (
                <button
                  type="button"
                  class="menu-item"
                  key={topic.id}
                  onClick={() => changeTopics([document.id], "remove_topics", [topic.id])}
                >
                  <Icon name="topics" />
                  <span>{t("row.removeTopic", { topic: topicName(topic) })}</span>
                </button>
              ))}
            </>
          )}
          {upload && (going || state === "paused") ? (
            <button type="button" class="menu-item danger" onClick={() => upload.cancel()}>
              <Icon name="close" />
              {t("cancel")}
            </button>
          ) : (
            id && (
              <button type="button" class="menu-item danger" onClick={() => deleteDocuments([id])}>
                <Icon name="trash" />
                {t("delete")}
              </button>
            )
          )}
        </Popover>
      )}
    </>
  );
}
