import type { Document } from "../../api/types.js";
import { changeTopics, deleteDocuments, showFailure, sortAgain } from "../../documents/actions.js";
import { iconOf } from "../../documents/icons.js";
import { createTopic } from "../../documents/topics.js";
import { bytes, t, tOr, when } from "../../i18n/index.js";
import { FileName } from "../../ui/file-name.js";
import { Icon, type IconName } from "../../ui/icon.js";
import { TopicPicker } from "../../ui/topic-picker.js";
import { ChooseAgain } from "../../uploads/choose-again.js";

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
    <DocumentRow document={document} removable>
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
  return (
    <Row id={id} icon="upload" name={name} facts={bytes(size)} removable>
      <ChooseAgain id={id} name={name} />
    </Row>
  );
}

function DocumentRow({
  document: { id, filename, size, created_at, detected_type, content_type },
  ...others
}: {
  document: Document;
  why?: string;
  removable?: boolean;
  children: preact.ComponentChildren;
}) {
  return (
    <Row
      id={id}
      icon={iconOf(detected_type ?? content_type)}
      name={filename}
      href={`/documents/${id}`}
      facts={`${bytes(size)} · ${when(created_at)}`}
      {...others}
    />
  );
}

function Row({
  id,
  icon,
  name,
  href,
  facts,
  why,
  removable,
  children,
}: {
  id: string;
  icon: IconName;
  name: string;
  href?: string;
  facts: string;
  why?: string;
  removable?: boolean;
  children: preact.ComponentChildren;
}) {
  return (
    <li class="need">
      <Icon name={icon} />
      <div class="about">
        {href ? (
          <a href={href} aria-label={name}>
            <FileName name={name} />
          </a>
        ) : (
          <FileName name={name} />
        )}
        <span class="muted small">{facts}</span>
        {why && <p class="small need-why">{why}</p>}
      </div>
      <div class="actions">{children}</div>
      {removable && (
        <button
          type="button"
          class="button plain icon-only"
          aria-label={t("needs.delete", { name })}
          onClick={() => deleteDocuments([id])}
        >
          <Icon name="trash" />
        </button>
      )}
    </li>
  );
}
