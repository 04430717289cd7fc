import type { Document } from "../api/types.js";
import { topicName } from "../documents/sync.js";
import { percent, t } from "../i18n/index.js";

/** A topic of a document, with the classifier's confidence unless a person has chosen it. */
export function TopicChip({
  topic,
  locked,
}: {
  topic: Document["topics"][number];
  locked: boolean;
}) {
  return (
    <span
      class={topic.suggested ? "chip suggested" : "chip"}
      title={topic.suggested ? t("topic.suggested") : undefined}
    >
      <span class="name">{topicName(topic)}</span>
      {!locked && <span class="share">{percent(topic.confidence / 100)}</span>}
    </span>
  );
}
