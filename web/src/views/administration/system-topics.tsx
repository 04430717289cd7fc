import { useSignal } from "@preact/signals";
import { api, call } from "../../api/client.js";
import { asFailure } from "../../api/problem.js";
import type { Topic } from "../../api/types.js";
import { topics } from "../../documents/sync.js";
import { compare, t, tOr } from "../../i18n/index.js";
import { Dialog } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { TopicDialog, type TopicValues } from "../../ui/topic-dialog.js";

/** The topics that all users share. */
export function SystemTopics() {
  const edited = useSignal<Topic | "new" | null>(null);
  const removed = useSignal<Topic | null>(null);
  const items = topics.value
    .filter(({ scope }) => scope === "system")
    .toSorted((a, b) => compare()(a.name, b.name));
  const close = () => (edited.value = null);

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
          save={(values) => save(edited.value!, values)}
          onClose={close}
        />
      )}
      {removed.value && (
        <DeleteTopic topic={removed.value} onDone={() => (removed.value = null)} />
      )}
    </section>
  );
}

/** Creates or changes a system topic. Throws a Failure. */
async function save(topic: Topic | "new", body: TopicValues): Promise<void> {
  const saved =
    topic === "new"
      ? await call(api.POST("/api/admin/topics", { body }))
      : await call(
          api.PATCH("/api/admin/topics/{id}", { params: { path: { id: topic.id } }, body }),
        );
  topics.value = [...topics.peek().filter(({ id }) => id !== saved.id), saved];
}

/** Asks whether to delete a system topic. */
function DeleteTopic({ topic, onDone }: { topic: Topic; onDone: () => void }) {
  const wrong = useSignal("");
  const busy = useSignal(false);
  const remove = async () => {
    busy.value = true;
    wrong.value = "";
    try {
      await call(api.DELETE("/api/admin/topics/{id}", { params: { path: { id: topic.id } } }));
    } catch (error) {
      const { code } = asFailure(error);
      busy.value = false;
      if (code !== "not_found") {
        wrong.value = tOr(`code.${code}`, "code.other");
        return;
      }
    }
    topics.value = topics.peek().filter(({ id }) => id !== topic.id);
    onDone();
  };
  return (
    <Dialog title={t("topic.delete", { name: topic.name })} onClose={onDone}>
      <p>{t("systemTopics.delete")}</p>
      {wrong.value && (
        <p class="notice danger" role="alert">
          {wrong.value}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button danger" disabled={busy.value} onClick={remove}>
          {t("delete")}
        </button>
        <button type="button" class="button" autofocus onClick={onDone}>
          {t("cancel")}
        </button>
      </div>
    </Dialog>
  );
}
