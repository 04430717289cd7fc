import { changeTopics, deleteDocuments, sortAgain } from "../../documents/actions.js";
import { list, topicName, topics } from "../../documents/sync.js";
import { compare, t } from "../../i18n/index.js";
import { Icon } from "../../ui/icon.js";
import { Popover } from "../../ui/menu.js";
import { focusTop } from "../../ui/row-focus.js";
import { areAllSelected, clearSelection, selection, selectRest } from "./rows.js";

/** What can be done with the selected documents. */
export function SelectionBar() {
  const ids = [...selection.value];
  if (ids.length === 0) return null;
  const sorted = topics.value.toSorted((a, b) => compare()(a.name, b.name));
  return (
    <div class="selection" role="toolbar" aria-label={t("selection")}>
      <span class="count">{t("selection.count", { n: ids.length })}</span>
      {!list.value.complete.value && areAllSelected() && (
        <button
          type="button"
          class="button plain"
          onClick={() => {
            focusRows();
            void selectRest();
          }}
        >
          {t("selection.all")}
        </button>
      )}
      <Popover
        class="button"
        button={
          <>
            <Icon name="topics" />
            <span>{t("selection.addTopic")}</span>
          </>
        }
      >
        {sorted.map((topic) => (
          <button
            key={topic.id}
            type="button"
            class="menu-item"
            onClick={() => changeTopics(ids, "add_topics", [topic.id])}
          >
            <span class="name">{topicName(topic)}</span>
          </button>
        ))}
      </Popover>
      <button type="button" class="button" onClick={() => sortAgain(ids)}>
        <Icon name="again" />
        <span>{t("sortAgain")}</span>
      </button>
      <button
        type="button"
        class="button danger"
        onClick={() => {
          focusRows();
          clearSelection();
          deleteDocuments(ids);
        }}
      >
        <Icon name="trash" />
        <span>{t("delete")}</span>
      </button>
      <button
        type="button"
        class="button plain icon-only"
        aria-label={t("selection.clear")}
        onClick={() => {
          focusRows();
          clearSelection();
        }}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}

// The focus does not go with the bar, or a button of it.
function focusRows(): void {
  const row = document.querySelector<HTMLElement>(".row[tabindex='0']");
  if (row) row.focus({ preventScroll: true });
  else focusTop();
}
