import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { api, call } from "../api/client.js";
import { asFailure, type Failure } from "../api/problem.js";
import type { Topic } from "../api/types.js";
import { topics } from "../documents/sync.js";
import { t, tOr } from "../i18n/index.js";
import { Field } from "./field.js";

// The limits of the API.
const nameLength = 40;
const descriptionLength = 500;

/**
 * The form for a new topic of a scope, or for changing one, to be shown in a Dialog. onDone is
 * called when the topic is saved, or with null when the reader cancels.
 */
export function TopicForm({
  topic,
  scope,
  onDone,
}: {
  topic?: Topic | undefined;
  scope: Topic["scope"];
  onDone: (saved: Topic | null) => void;
}) {
  const name = useRef<HTMLInputElement>(null);
  const description = useRef<HTMLTextAreaElement>(null);
  const keywords = useRef<HTMLTextAreaElement>(null);
  const failure = useSignal<Failure | null>(null);
  const busy = useSignal(false);
  const field = fieldOf(failure.value);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    busy.value = true;
    failure.value = null;
    try {
      const lines = keywords.current!.value.split("\n").map((line) => line.trim());
      const saved = await save(scope, topic?.id, {
        name: name.current!.value,
        description: description.current!.value,
        keywords: lines.filter(Boolean),
      });
      topics.value = [...topics.peek().filter(({ id }) => id !== saved.id), saved];
      onDone(saved);
    } catch (error) {
      failure.value = asFailure(error);
      ({ name, description, keywords })[fieldOf(failure.value) ?? "name"].current?.focus();
    } finally {
      busy.value = false;
    }
  };

  return (
    <form class="stack" onSubmit={submit}>
      <Field label={t("topic.name")} wrong={field === "name" ? explain(failure.value!) : undefined}>
        {(attributes) => (
          <input
            ref={name}
            class="input"
            type="text"
            dir="auto"
            maxLength={nameLength}
            required
            autofocus
            autocomplete="off"
            defaultValue={topic?.name}
            {...attributes}
          />
        )}
      </Field>
      <Field
        label={t("topic.description")}
        hint={t("topic.description.hint")}
        wrong={
          field === "description" ? t("topic.description.wrong", { n: descriptionLength }) : undefined
        }
      >
        {(attributes) => (
          <textarea
            ref={description}
            class="input"
            dir="auto"
            rows={2}
            maxLength={descriptionLength}
            defaultValue={topic?.description}
            {...attributes}
          />
        )}
      </Field>
      <Field
        label={t("topic.keywords")}
        hint={t("topic.keywords.hint")}
        wrong={field === "keywords" ? t("topic.keywords.wrong", { n: nameLength }) : undefined}
      >
        {(attributes) => (
          <textarea
            ref={keywords}
            class="input"
            dir="auto"
            rows={4}
            defaultValue={topic?.keywords.join("\n")}
            {...attributes}
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
        <button type="button" class="button" onClick={() => onDone(null)}>
          {t("cancel")}
        </button>
      </div>
    </form>
  );
}

type Values = { name: string; description: string; keywords: string[] };

function save(scope: Topic["scope"], id: string | undefined, body: Values): Promise<Topic> {
  if (id === undefined) {
    return scope === "system"
      ? call(api.POST("/api/admin/topics", { body }))
      : call(api.POST("/api/topics", { body }));
  }
  const params = { path: { id } };
  return scope === "system"
    ? call(api.PATCH("/api/admin/topics/{id}", { params, body }))
    : call(api.PATCH("/api/topics/{id}", { params, body }));
}

/** Returns the field that a failure is about. */
function fieldOf(failure: Failure | null): keyof Values | undefined {
  if (failure?.code === "name_taken") return "name";
  const [, member] = failure?.problem.pointer?.split("/") ?? [];
  return (["name", "description", "keywords"] as const).find((field) => field === member);
}

function explain({ code, problem }: Failure): string {
  if (code === "invalid") return t("topic.name.wrong", { n: nameLength });
  return tOr(`code.${code}`, "code.other", { limit: problem.limit ?? 0 });
}
