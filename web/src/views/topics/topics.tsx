// The topics that documents are sorted into: the user's own, those of everybody, and suggestions.
import { useSignal } from "@preact/signals";
import type { Topic } from "../../api/types.js";
import { user } from "../../api/session.js";
import { topics } from "../../documents/sync.js";
import { createTopic, updateTopic } from "../../documents/topics.js";
import { compare, t } from "../../i18n/index.js";
import { DeleteTopicDialog } from "../../ui/delete-topic-dialog.js";
import { Icon } from "../../ui/icon.js";
import { TopicDialog } from "../../ui/topic-dialog.js";
import { Suggestions, TopicHead, TopicRows } from "./suggestions.js";
import "./topics.css";

const few = 6; // keywords that are always shown

type Asked = { about: "new" } | { about: "change" | "delete"; topic: Topic };

export function Topics() {
  const asked = useSignal<Asked | null>(null);
  const close = () => (asked.value = null);
  const decided = topics.value
    .filter(({ suggested }) => !suggested)
    .toSorted((a, b) => compare()(a.name, b.name));
  const own = decided.filter(({ scope }) => scope === "user");
  const shared = decided.filter(({ scope }) => scope === "system");
  const create = () => (asked.value = { about: "new" });

  return (
    <div class="topics-view">
      <div class="view-head">
        <h1>{t("topics")}</h1>
        <button type="button" class="button primary" onClick={create}>
          <Icon name="plus" />
          {t("topic.create")}
        </button>
      </div>
      <p class="muted">{t("topic.about")}</p>
      <Suggestions />
      {topics.value.length === 0 ? (
        <div class="blank">
          <Icon name="topics" />
          <h2>{t("topic.first")}</h2>
        </div>
      ) : (
        <section class="stack">
          <h2>{t("topic.own")}</h2>
          {own.length === 0 && <p class="muted">{t("topic.own.none")}</p>}
          <TopicRows>
            {own.map((topic) => (
              <TopicRow key={topic.id} topic={topic}>
                <button
                  type="button"
                  class="button plain icon-only"
                  aria-label={t("topic.editNamed", { name: topic.name })}
                  onClick={() => (asked.value = { about: "change", topic })}
                >
                  <Icon name="edit" />
                </button>
                <button
                  type="button"
                  class="button plain icon-only"
                  aria-label={t("topic.deleteNamed", { name: topic.name })}
                  onClick={() => (asked.value = { about: "delete", topic })}
                >
                  <Icon name="trash" />
                </button>
              </TopicRow>
            ))}
          </TopicRows>
        </section>
      )}
      {shared.length > 0 && (
        <section class="stack">
          <div>
            <h2>{t("topic.shared")}</h2>
            <p class="muted">
              {t("topic.shared.about")}{" "}
              {user.value?.role === "admin" && <a href="/administration">{t("administration")}</a>}
            </p>
          </div>
          <ul class="topic-list">
            {shared.map((topic) => (
              <TopicRow key={topic.id} topic={topic} />
            ))}
          </ul>
        </section>
      )}
      {asked.value && <Question asked={asked.value} onClose={close} />}
    </div>
  );
}

function Question({ asked, onClose }: { asked: Asked; onClose: () => void }) {
  if (asked.about === "delete") return <DeleteTopicDialog topic={asked.topic} onClose={onClose} />;
  if (asked.about === "change") {
    const { topic } = asked;
    return (
      <TopicDialog
        title={t("topic.edit")}
        topic={topic}
        save={(values) => updateTopic(topic, values)}
        onClose={onClose}
      />
    );
  }
  return (
    <TopicDialog
      title={t("topic.create")}
      save={async (values) => void (await createTopic("user", values))}
      onClose={onClose}
    />
  );
}

function TopicRow({
  topic: { id, name, description, keywords },
  children,
}: {
  topic: Topic;
  children?: preact.ComponentChildren;
}) {
  return (
    <li class="topic">
      <div class="topic-about">
        <TopicHead id={id} name={name} />
        {description && <p dir="auto">{description}</p>}
        <Keywords keywords={keywords} />
      </div>
      {children && <div class="tools">{children}</div>}
    </li>
  );
}

/** The keywords of a topic. Many of them are folded up. */
function Keywords({ keywords }: { keywords: readonly string[] }) {
  if (keywords.length === 0) return null;
  const all = (
    <ul class="keyword-list" aria-label={t("topic.keywords")}>
      {keywords.map((keyword) => (
        <li class="chip" key={keyword}>
          <span class="name">{keyword}</span>
        </li>
      ))}
    </ul>
  );
  if (keywords.length <= few) return all;
  return (
    <details class="keyword-box">
      <summary>{t("topic.keywordCount", { n: keywords.length })}</summary>
      {all}
    </details>
  );
}
