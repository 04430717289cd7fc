// Search, filters and order of the list. They are in the address, so that it can be kept and sent.
import { useEffect, useRef } from "preact/hooks";
import type { ListedStatus } from "../../api/types.js";
import { isPlain } from "../../documents/filter.js";
import { filtered, list, topicName, topics } from "../../documents/sync.js";
import { compare, t } from "../../i18n/index.js";
import { navigate, query, withQuery } from "../../router.js";
import { Icon } from "../../ui/icon.js";
import { Popover } from "../../ui/menu.js";

const groups: Record<string, string> = {
  going: "pending,uploaded",
  sorted: "classified",
  unsorted: "failed",
  refused: "rejected,expired,quarantined",
} satisfies Record<string, `${ListedStatus}` | `${ListedStatus},${string}`>;

const set = (changes: Record<string, string>) => navigate(withQuery(changes), { replace: true });

export function FilterBar() {
  const search = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const value = (name: string) => query.value.get(name) ?? "";
  const q = value("q");

  useEffect(() => () => clearTimeout(timer.current), []);
  // The field follows the address, except while the reader types.
  useEffect(() => {
    const field = search.current!;
    if (document.activeElement !== field) field.value = q;
  }, [q]);

  const find = (field: HTMLInputElement) => {
    clearTimeout(timer.current);
    set({ q: field.value.trim() });
  };

  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label class="search">
        <span class="spoken">{t("search")}</span>
        <Icon name="search" />
        <input
          ref={search}
          class="input"
          type="search"
          maxLength={255}
          placeholder={t("search")}
          onInput={({ currentTarget }) => {
            clearTimeout(timer.current);
            timer.current = setTimeout(() => find(currentTarget), 250);
          }}
          onChange={({ currentTarget }) => find(currentTarget)}
        />
      </label>
      <Popover
        class={filtered.value ? "button active" : "button"}
        label={t("filter")}
        closeOnClick={false}
        button={
          <>
            <Icon name="filter" />
            <span>{t("filter")}</span>
          </>
        }
      >
        <div class="stack filter-fields">
          <Choice label={t("filter.status")} name="status" value={value("status")}>
            <option value="">{t("filter.all")}</option>
            {Object.entries(groups).map(([group, statuses]) => (
              <option key={group} value={statuses}>
                {t(`filter.status.${group}` as "filter.status.going")}
              </option>
            ))}
          </Choice>
          <Choice label={t("filter.topic")} name="topic" value={value("topic")}>
            <option value="">{t("filter.all")}</option>
            <option value="none">{t("state.noTopic")}</option>
            {topics.value
              .toSorted((a, b) => compare()(a.name, b.name))
              .map((topic) => (
                <option key={topic.id} value={topic.id}>
                  {topicName(topic)}
                </option>
              ))}
          </Choice>
          <Day label={t("filter.from")} name="from" value={value("from")} />
          <Day label={t("filter.to")} name="to" value={value("to")} />
          <Choice label={t("sort")} name="sort" value={value("sort")}>
            <option value="">{t("sort.created_at")}</option>
            <option value="filename">{t("sort.filename")}</option>
            <option value="size">{t("sort.size")}</option>
          </Choice>
          <Choice label={t("order")} name="order" value={value("order")}>
            <option value="">{t("order.usual")}</option>
            <option value="asc">{t("order.asc")}</option>
            <option value="desc">{t("order.desc")}</option>
          </Choice>
        </div>
      </Popover>
      {!isPlain(list.value.filter) && (
        <a class="button plain" href="/">
          {t("filter.clear")}
        </a>
      )}
    </form>
  );
}

type Field = { label: string; name: string; value: string };

function Choice({ label, name, value, children }: Field & { children: preact.ComponentChildren }) {
  return (
    <label class="field">
      <span class="label">{label}</span>
      <select
        class="input"
        value={value}
        onChange={({ currentTarget }) => set({ [name]: currentTarget.value })}
      >
        {children}
      </select>
    </label>
  );
}

function Day({ label, name, value }: Field) {
  return (
    <label class="field">
      <span class="label">{label}</span>
      <input
        class="input"
        type="date"
        value={value}
        onChange={({ currentTarget }) => set({ [name]: currentTarget.value })}
      />
    </label>
  );
}
