import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import type { Topic } from "../api/types.js";
import { topics } from "../documents/sync.js";
import { compare, t } from "../i18n/index.js";
import { Icon } from "./icon.js";
import { Popover } from "./menu.js";
import "./topic-picker.css";

const most = 100; // topics that are shown; typing finds the others

// For finding a topic, accents make no difference; for its name they do.
const sameCase = (text: string) => text.normalize("NFC").toLowerCase();
const fold = (text: string) => sameCase(text.normalize("NFKD").replace(/\p{M}/gu, ""));

/**
 * A button that opens a list of all topics, which typing filters. With onCreate, a name that no
 * topic has can be made into one.
 */
export function TopicPicker({
  button,
  label,
  class: className,
  exclude,
  onPick,
  onCreate,
}: {
  button: ComponentChildren;
  label?: string;
  class?: string;
  exclude?: readonly string[];
  onPick: (topic: Topic) => void;
  onCreate?: (name: string) => void;
}) {
  const open = useSignal(false);
  return (
    <Popover
      button={button}
      {...(label && { label })}
      {...(className && { class: className })}
      onOpen={(next) => (open.value = next)}
    >
      {open.value && <Choices exclude={exclude ?? []} onPick={onPick} onCreate={onCreate} />}
    </Popover>
  );
}

function Choices({
  exclude,
  onPick,
  onCreate,
}: {
  exclude: readonly string[];
  onPick: (topic: Topic) => void;
  onCreate: ((name: string) => void) | undefined;
}) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const text = useSignal("");
  const at = useSignal(0); // the option that Enter chooses

  const found = useComputed(() => {
    const wanted = fold(text.value.trim());
    return topics.value
      .filter((topic) => !exclude.includes(topic.id) && fold(topic.name).includes(wanted))
      .sort((a, b) => {
        const begins = (topic: Topic) => (fold(topic.name).startsWith(wanted) ? 0 : 1);
        return begins(a) - begins(b) || compare()(a.name, b.name);
      })
      .slice(0, most);
  });
  const name = text.value.trim();
  const isNew = name && !topics.value.some((topic) => sameCase(topic.name) === sameCase(name));
  const creates = Boolean(onCreate && isNew);
  const count = found.value.length + (creates ? 1 : 0);
  const active = Math.min(at.value, count - 1);
  const option = (index: number) => `${id}-${index}`;

  useEffect(() => {
    box.current!.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active]);

  const props = (index: number) => ({
    id: option(index),
    key: index,
    type: "button" as const,
    role: "option" as const,
    tabindex: -1,
    class: "menu-item",
    "aria-selected": index === active,
  });

  return (
    <div class="topic-picker">
      <input
        class="input"
        role="combobox"
        aria-label={t("topic.find")}
        placeholder={t("topic.find")}
        aria-expanded={true}
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={active >= 0 ? option(active) : undefined}
        autocomplete="off"
        onInput={({ currentTarget }) => {
          text.value = currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "ArrowDown") at.value = (active + 1) % Math.max(1, count);
          else if (event.key === "ArrowUp") at.value = (active - 1 + count) % Math.max(1, count);
          else if (event.key === "Enter") {
            box.current!.querySelector<HTMLElement>("[aria-selected=true]")?.click();
          } else return;
          event.preventDefault();
        }}
      />
      <div ref={box} id={id} role="listbox" aria-label={t("topics")} class="topic-choices">
        {found.value.map((topic, index) => (
          <button {...props(index)} onClick={() => onPick(topic)}>
            <span class="name">{topic.name}</span>
            {topic.scope === "system" && <span class="muted small">{t("topic.shared")}</span>}
          </button>
        ))}
        {creates && (
          <button {...props(count - 1)} onClick={() => onCreate!(name)}>
            <Icon name="plus" />
            <span class="name">{t("topic.createNamed", { name })}</span>
          </button>
        )}
        {count === 0 && (
          <p class="muted small" role="option" aria-selected={false} aria-disabled={true}>
            {t(topics.value.length === 0 ? "topic.noneYet" : "topic.notFound")}
          </p>
        )}
      </div>
    </div>
  );
}
