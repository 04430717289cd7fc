import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { asFailure, type Failure } from "../api/problem.js";
import type { TopicValues } from "../documents/topics.js";
import { t, tOr } from "../i18n/index.js";
import { Dialog } from "./dialog.js";
import { Field, type ControlAttributes } from "./field.js";
import { Icon } from "./icon.js";
import "./topic-dialog.css";

/**
 * A dialog for the values of a topic. What save throws is explained at the field that it is about.
 */
export function TopicDialog({
  title,
  topic = { name: "", description: "", keywords: [] },
  save,
  onClose,
}: {
  title: string;
  topic?: TopicValues;
  save: (values: TopicValues) => Promise<void>;
  onClose: () => void;
}) {
  const failure = useSignal<Failure | null>(null);
  const busy = useSignal(false);
  const name = useRef<HTMLInputElement>(null);
  const description = useRef<HTMLTextAreaElement>(null);
  const keywords = useSignal<readonly string[]>(topic.keywords);
  const draft = useRef(""); // a keyword that is not ended yet

  const form = useRef<HTMLFormElement>(null);
  const field = fieldOf(failure.value);
  useLayoutEffect(() => {
    form.current!.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [failure.value]);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    try {
      await save({
        name: name.current!.value,
        description: description.current!.value,
        keywords: withKeywords(keywords.value, draft.current),
      });
      onClose();
    } catch (error) {
      failure.value = asFailure(error);
    } finally {
      busy.value = false;
    }
  };

  return (
    <Dialog title={title} onClose={onClose}>
      <form ref={form} class="stack" onSubmit={submit} noValidate>
        <Field
          label={t("topic.name")}
          wrong={field === "name" ? explain(failure.value!) : undefined}
        >
          {(props) => (
            <input
              {...props}
              ref={name}
              class="input"
              dir="auto"
              autocomplete="off"
              defaultValue={topic.name}
            />
          )}
        </Field>
        <Field
          label={t("topic.keywords")}
          hint={t("topic.keywords.hint")}
          wrong={field === "keywords" ? explain(failure.value!) : undefined}
        >
          {(props) => (
            <KeywordsInput
              {...props}
              keywords={keywords.value}
              onChange={(next) => (keywords.value = next)}
              onDraft={(text) => (draft.current = text)}
            />
          )}
        </Field>
        <Field
          label={t("topic.description")}
          hint={t("topic.description.hint")}
          wrong={field === "description" ? explain(failure.value!) : undefined}
        >
          {(props) => (
            <textarea
              {...props}
              ref={description}
              class="input"
              dir="auto"
              rows={3}
              defaultValue={topic.description}
            />
          )}
        </Field>
        {failure.value && !field && (
          <p class="notice danger" role="alert">
            {explain(failure.value)}
          </p>
        )}
        <div class="actions">
          <button type="submit" class="button primary" disabled={busy.value}>
            {t("save")}
          </button>
          <button type="button" class="button" onClick={onClose}>
            {t("cancel")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Returns the field that a failure is about, if it is about one. */
function fieldOf(failure: Failure | null): "name" | "description" | "keywords" | null {
  if (failure?.code === "name_taken") return "name";
  const [, member] = failure?.problem.pointer?.split("/") ?? [];
  return member === "name" || member === "description" || member === "keywords" ? member : null;
}

function explain(failure: Failure): string {
  const field = fieldOf(failure);
  if (failure.code === "invalid" && field) return t(`topic.${field}.wrong`);
  return tOr(`code.${failure.code}`, "code.other", { limit: failure.problem.limit ?? 0 });
}

/** Returns keywords with those in a text, which commas, semicolons and line breaks separate. */
function withKeywords(keywords: readonly string[], text: string): string[] {
  const next = [...keywords];
  for (const each of text.split(/[,;،、\n\t]/)) {
    const keyword = each.trim();
    const same = (other: string) => other.toLowerCase() === keyword.toLowerCase();
    if (keyword && !next.some(same)) next.push(keyword);
  }
  return next;
}

/** A field for several words: each becomes a chip when it is ended with Enter or a comma. */
function KeywordsInput({
  keywords,
  onChange,
  onDraft,
  ...props
}: ControlAttributes & {
  keywords: readonly string[];
  onChange: (keywords: readonly string[]) => void;
  onDraft: (text: string) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const add = (text: string) => {
    onChange(withKeywords(keywords, text));
    input.current!.value = "";
    onDraft("");
  };
  return (
    <div class="input keywords">
      {keywords.map((keyword) => (
        <span class="chip" key={keyword}>
          <span class="name">{keyword}</span>
          <button
            type="button"
            class="remove"
            aria-label={t("topic.removeNamed", { name: keyword })}
            onClick={() => {
              onChange(keywords.filter((other) => other !== keyword));
              input.current!.focus();
            }}
          >
            <Icon name="close" />
          </button>
        </span>
      ))}
      <input
        {...props}
        ref={input}
        dir="auto"
        autocomplete="off"
        onInput={({ currentTarget: { value } }) => {
          if (/[,;،、\n\t]/.test(value)) add(value);
          else onDraft(value);
        }}
        onPaste={(event) => {
          const text = event.clipboardData?.getData("text") ?? "";
          if (!/[,;،、\n\t]/.test(text)) return;
          event.preventDefault(); // the browser would join the lines
          add(text);
        }}
        onKeyDown={(event) => {
          const { value } = event.currentTarget;
          if (event.isComposing) return;
          if (event.key === "Enter" && value.trim()) {
            event.preventDefault();
            add(value);
          } else if (event.key === "Backspace" && !value) {
            onChange(keywords.slice(0, -1));
          }
        }}
      />
    </div>
  );
}
