import { useSignal } from "@preact/signals";
import { asFailure, type Failure } from "../api/problem.js";
import type { Topic } from "../api/types.js";
import { counts } from "../documents/sync.js";
import { deleteTopic } from "../documents/topics.js";
import { t, tOr } from "../i18n/index.js";
import { Dialog } from "./dialog.js";

/** Asks whether to delete a topic, and says how many of the user's documents lose it. */
export function DeleteTopicDialog({ topic, onClose }: { topic: Topic; onClose: () => void }) {
  const failure = useSignal<Failure | null>(null);
  const busy = useSignal(false);
  const n = counts.value?.by_topic[topic.id] ?? 0;

  const confirm = async () => {
    busy.value = true;
    try {
      await deleteTopic(topic);
      onClose();
    } catch (error) {
      failure.value = asFailure(error);
      busy.value = false;
    }
  };

  return (
    <Dialog title={t("topic.delete", { name: topic.name })} onClose={onClose}>
      <p>
        {topic.scope === "system"
          ? t("topic.delete.system")
          : n > 0
            ? t("topic.delete.some", { n })
            : t("topic.delete.none")}
      </p>
      {failure.value && (
        <p class="notice danger" role="alert">
          {tOr(`code.${failure.value.code}`, "code.other")}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button danger" disabled={busy.value} onClick={confirm}>
          {t("delete")}
        </button>
        <button type="button" class="button" onClick={onClose}>
          {t("cancel")}
        </button>
      </div>
    </Dialog>
  );
}
