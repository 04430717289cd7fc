import { useSignal } from "@preact/signals";
import type { Topic } from "../../api/types.js";
import { showFailure } from "../../documents/actions.js";
import { suggestions } from "../../documents/needs.js";
import { counts } from "../../documents/sync.js";
import { mergeTopic, merges, updateTopic } from "../../documents/topics.js";
import { t, tOr } from "../../i18n/index.js";
import { DeleteTopicDialog } from "../../ui/delete-topic-dialog.js";
import { Icon } from "../../ui/icon.js";
import { useRowFocus } from "../../ui/row-focus.js";
import { TopicPicker } from "../../ui/topic-picker.js";
import "./topics.css";

/** The suggested topics, each with what can become of it. Nothing if there are none. */
export function Suggestions() {
  const dropping = useSignal<Topic | null>(null);
  const suggested = suggestions();
  return (
    <>
      {suggested.length > 0 && (
        <section class="stack">
          <div>
            <h2>{t("topic.suggestions")}</h2>
            <p class="muted">{t("topic.suggestions.about")}</p>
          </div>
          <TopicRows>
            {suggested.map((topic) => (
              <Suggestion key={topic.id} topic={topic} onDrop={() => (dropping.value = topic)} />
            ))}
          </TopicRows>
        </section>
      )}
      {dropping.value && (
        <DeleteTopicDialog topic={dropping.value} onClose={() => (dropping.value = null)} />
      )}
    </>
  );
}

/** A list of topics. When one of them goes, the next one gets the focus. */
export function TopicRows({ children }: { children: preact.ComponentChild[] }) {
  return (
    <ul class="topic-list" {...useRowFocus(children.length)}>
      {children}
    </ul>
  );
}

function Suggestion({ topic, onDrop }: { topic: Topic; onDrop: () => void }) {
  const { id, name } = topic;
  const merge = merges.value.get(id);
  return (
    <li class="topic">
      <div class="topic-about">
        <TopicHead id={id} name={name} />
        {topic.description && (
          <p>
            <bdi>{topic.description}</bdi>
          </p>
        )}
        {merge?.failure && (
          <p class="small wrong" role="alert">
            {t("topic.mergeFailed", {
              into: merge.into.name,
              why: tOr(`code.${merge.failure.code}`, "code.other"),
            })}
          </p>
        )}
      </div>
      {merge && !merge.failure ? (
        <Progress into={merge.into.name} done={merge.done} of={Math.max(merge.of, merge.done)} />
      ) : (
        <div class="actions">
          {merge && (
            <button type="button" class="button" onClick={() => mergeTopic(topic, merge.into)}>
              <Icon name="again" />
              {t("again")}
            </button>
          )}
          <button
            type="button"
            class="button"
            aria-label={t("topic.acceptNamed", { name })}
            onClick={() => updateTopic(topic, { name }).catch(showFailure)}
          >
            <Icon name="check" />
            {t("topic.accept")}
          </button>
          <TopicPicker
            class="button"
            label={t("topic.mergeNamed", { name })}
            button={
              <>
                <Icon name="merge" />
                {t("topic.merge")}
              </>
            }
            exclude={[id]}
            onPick={(into) => void mergeTopic(topic, into)}
          />
          <button
            type="button"
            class="button danger"
            aria-label={t("topic.dropNamed", { name })}
            onClick={onDrop}
          >
            <Icon name="trash" />
            {t("topic.drop")}
          </button>
        </div>
      )}
    </li>
  );
}

function Progress({ into, done, of }: { into: string; done: number; of: number }) {
  const text = t("topic.merging", { into, done, of });
  return (
    <div class="topic-progress">
      <span class="small">{text}</span>
      <progress class="bar" aria-label={text} max={of || 1} value={done} />
    </div>
  );
}

/** The name of a topic and how many documents have it, as a link to them. */
export function TopicHead({ id, name }: { id: string; name: string }) {
  const n = counts.value?.by_topic[id] ?? 0;
  return (
    <div class="topic-head">
      <h3 class="name">
        <bdi>{name}</bdi>
      </h3>
      {n > 0 ? (
        <a class="small" href={`/?topic=${id}`}>
          {n >= 10_000 ? t("topic.countMost", { n }) : t("topic.count", { n })}
        </a>
      ) : (
        <span class="muted small">{t("topic.unused")}</span>
      )}
    </div>
  );
}
