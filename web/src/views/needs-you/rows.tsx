import { useRef } from "preact/hooks";
import type { Document } from "../../api/types.js";
import { changeTopics, deleteDocuments, showFailure, sortAgain } from "../../documents/actions.js";
import { iconOf } from "../../documents/kinds.js";
import { bytes, t, tOr, when } from "../../i18n/index.js";
import { Icon, type IconName } from "../../ui/icon.js";
import { createTopic } from "../../documents/topics.js";
import { toast } from "../../ui/toasts.js";
import { TopicPicker } from "../../ui/topic-picker.js";
import { resumeWith } from "../../uploads/queue.js";

/** A document without a topic. again: sorting it again may help. */
export function UnsortedRow({ document, again }: { document: Document; again?: boolean }) {
  const { id, filename: name } = document;
  const create = async (topic: string) => {
    try {
      const { id: topicID } = await createTopic("user", { name: topic });
      await changeTopics([id], "add_topics", [topicID]);
    } catch (error) {
      showFailure(error);
    }
  };
  return (
    <DocumentRow document={document}>
      <TopicPicker
        class="button small"
        label={t("needs.chooseTopic", { name })}
        button={
          <>
            <Icon name="topics" />
            {t("topic.choose")}
          </>
        }
        onPick={(topic) => void changeTopics([id], "add_topics", [topic.id])}
        onCreate={(topic) => void create(topic)}
      />
      {again && (
        <button
          type="button"
          class="button small"
          aria-label={t("needs.sortAgain", { name })}
          onClick={() => sortAgain([id])}
        >
          <Icon name="again" />
          {t("sortAgain")}
        </button>
      )}
      <button
        type="button"
        class="button plain icon-only"
        aria-label={t("needs.delete", { name })}
        onClick={() => deleteDocuments([id])}
      >
        <Icon name="trash" />
      </button>
    </DocumentRow>
  );
}

/** A document that was not kept, or never arrived. */
export function RefusedRow({ document }: { document: Document }) {
  const { id, filename: name, status, reason } = document;
  const why = status === "expired" ? t("state.expired") : tOr(`reason.${reason}`, "reason.other");
  return (
    <DocumentRow document={document} why={why}>
      {reason === "quota_exceeded" && (
        <a class="button small" href="/?sort=size">
          {t("space.make")}
        </a>
      )}
      <button
        type="button"
        class="button small"
        aria-label={t("row.dismiss", { name })}
        onClick={() => deleteDocuments([id])}
      >
        <Icon name="close" />
        {t("needs.dismiss")}
      </button>
    </DocumentRow>
  );
}

/** An upload that goes on when its file is chosen again. */
export function InterruptedRow({ id, name, size }: { id: string; name: string; size: number }) {
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <Row icon="upload" name={name} facts={bytes(size)}>
      <button
        type="button"
        class="button small"
        aria-label={t("needs.chooseFile", { name })}
        onClick={() => chooser.current!.click()}
      >
        {t("row.chooseAgain")}
      </button>
      <input
        ref={chooser}
        type="file"
        hidden
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file && resumeWith(id, file) === "other-file") {
            toast({ text: t("row.otherFile", { name }) });
          }
          currentTarget.value = "";
        }}
      />
      <button
        type="button"
        class="button plain icon-only"
        aria-label={t("needs.delete", { name })}
        onClick={() => deleteDocuments([id])}
      >
        <Icon name="trash" />
      </button>
    </Row>
  );
}

function DocumentRow({
  document: { id, filename, size, created_at, detected_type, content_type },
  why,
  children,
}: {
  document: Document;
  why?: string;
  children: preact.ComponentChildren;
}) {
  return (
    <Row
      icon={iconOf(detected_type ?? content_type)}
      name={filename}
      href={`/documents/${id}`}
      facts={`${bytes(size)} · ${when(created_at)}`}
      {...(why && { why })}
    >
      {children}
    </Row>
  );
}

function Row({
  icon,
  name,
  href,
  facts,
  why,
  children,
}: {
  icon: IconName;
  name: string;
  href?: string;
  facts: string;
  why?: string;
  children: preact.ComponentChildren;
}) {
  return (
    <li class="need">
      <Icon name={icon} />
      <div class="about">
        {href ? (
          <a class="name" href={href}>
            <bdi>{name}</bdi>
          </a>
        ) : (
          <span class="name">
            <bdi>{name}</bdi>
          </span>
        )}
        <span class="muted small">{facts}</span>
        {why && <p class="small need-why">{why}</p>}
      </div>
      <div class="actions">{children}</div>
    </li>
  );
}
