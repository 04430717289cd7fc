import type { Document } from "../api/types.js";
import { topicOf } from "../documents/sync.js";
import { percent, t } from "../i18n/index.js";

/** A topic of a document, with the classifier's confidence unless a person has chosen it. */
export function TopicChip({
  topic,
  locked,
}: {
  topic: Document["topics"][number];
  locked: boolean;
}) {
  const name = topicOf(topic.id)?.name ?? topic.name; // it may have been renamed
  return (
    <span
      class={topic.suggested ? "chip suggested" : "chip"}
      title={topic.suggested ? t("topic.suggested") : undefined}
    >
      <span class="name">{name}</span>
      {!locked && <span class="share">{percent(topic.confidence / 100)}</span>}
    </span>
  );
}
