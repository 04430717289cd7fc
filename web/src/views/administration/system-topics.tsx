import { useSignal } from "@preact/signals";
import type { Topic } from "../../api/types.js";
import { topics } from "../../documents/sync.js";
import { createTopic, updateTopic, type TopicValues } from "../../documents/topics.js";
import { compare, t } from "../../i18n/index.js";
import { DeleteTopicDialog } from "../../ui/delete-topic-dialog.js";
import { Icon } from "../../ui/icon.js";
import { TopicDialog } from "../../ui/topic-dialog.js";

/** The topics that all users share. */
export function SystemTopics() {
  const edited = useSignal<Topic | "new" | null>(null);
  const removed = useSignal<Topic | null>(null);
  const items = topics.value
    .filter(({ scope }) => scope === "system")
    .toSorted((a, b) => compare()(a.name, b.name));
  const close = () => (edited.value = null);
  const save = async (values: TopicValues) => {
    const topic = edited.peek();
    if (topic && topic !== "new") await updateTopic(topic, values);
    else await createTopic("system", values);
  };

  return (
    <section class="stack" aria-labelledby="system-topics">
      <div class="section-head">
        <div>
          <h2 id="system-topics">{t("systemTopics")}</h2>
          <p class="muted">{t("systemTopics.about")}</p>
        </div>
        <button type="button" class="button" onClick={() => (edited.value = "new")}>
          <Icon name="plus" />
          {t("topic.create")}
        </button>
      </div>
      {items.length === 0 ? (
        <p class="card muted">{t("systemTopics.none")}</p>
      ) : (
        <ul class="system-topics card">
          {items.map((topic) => (
            <li key={topic.id}>
              <div class="text">
                <bdi class="topic">{topic.name}</bdi>
                {topic.description && <bdi class="muted small">{topic.description}</bdi>}
              </div>
              <button
                type="button"
                class="button plain icon-only"
                aria-label={t("topic.editNamed", { name: topic.name })}
                onClick={() => (edited.value = topic)}
              >
                <Icon name="edit" />
              </button>
              <button
                type="button"
                class="button plain icon-only"
                aria-label={t("topic.deleteNamed", { name: topic.name })}
                onClick={() => (removed.value = topic)}
              >
                <Icon name="trash" />
              </button>
            </li>
          ))}
        </ul>
      )}
      {edited.value && (
        <TopicDialog
          title={t(edited.value === "new" ? "topic.create" : "topic.edit")}
          {...(edited.value !== "new" && { topic: edited.value })}
          save={save}
          onClose={close}
        />
      )}
      {removed.value && (
        <DeleteTopicDialog topic={removed.value} onClose={() => (removed.value = null)} />
      )}
    </section>
  );
}
