import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { api, call } from "../../api/client.js";
import { asFailure, type Failure } from "../../api/problem.js";
import type { User, UserPatch } from "../../api/types.js";
import { bytes, kilo, t, tOr, unitName } from "../../i18n/index.js";
import { Field } from "../../ui/field.js";

const providers = ["builtin", "ollama", "openai", "anthropic"] as const;
const modelLength = 100;
const units = [2, 3, 4] as const; // powers of kilo: MB, GB, TB

/** Returns the name of an AI provider, which null stands for the server's default of. */
export function providerName(provider: string | null): string {
  if (!provider) return t("ai.default");
  const names: Record<string, string> = {
    builtin: t("ai.builtin"),
    ollama: "Ollama",
    openai: "OpenAI",
    anthropic: "Anthropic",
  };
  return names[provider] ?? provider;
}

/**
 * The form for a user's quota and AI settings. onDone is called with the changed user, or with null
 * when the reader cancels.
 */
export function PersonForm({
  person,
  onDone,
}: {
  person: User;
  onDone: (saved: User | null) => void;
}) {
  const { limit_bytes: limit, used_bytes: used } = person.quota;
  const before = units.findLast((power) => limit >= kilo ** power) ?? units[0];
  const unit = useSignal<number>(before);
  const amount = useSignal(String(limit / kilo ** before));
  const provider = useRef<HTMLSelectElement>(null);
  const model = useRef<HTMLInputElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const failure = useSignal<Failure | null>(null);
  const wrongLimit = useSignal(false);
  const busy = useSignal(false);
  const field = failure.value?.problem.pointer?.slice(1);
  const byDefault = useSignal(false);
  const chosen = Math.round(Number(amount.value) * kilo ** unit.value);
  const refused = wrongLimit.value || field === "limit_bytes";

  useEffect(() => {
    form.current!.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [refused, failure.value]);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    failure.value = null;
    const wrong = amount.value.trim() === "" || chosen < 0 || !Number.isSafeInteger(chosen);
    wrongLimit.value = wrong && !byDefault.peek();
    if (wrongLimit.value) return;
    const patch: UserPatch = {
      ...(byDefault.peek() ? { limit_bytes: null } : chosen !== limit && { limit_bytes: chosen }),
      ...changed("ai_provider", person.ai_provider, provider.current!.value),
      ...changed("ai_model", person.ai_model, model.current!.value.trim()),
    };
    if (Object.keys(patch).length === 0) return onDone(null);
    busy.value = true;
    try {
      const params = { path: { id: person.id } };
      onDone(await call(api.PATCH("/api/admin/users/{id}", { params, body: patch })));
    } catch (error) {
      failure.value = asFailure(error);
    } finally {
      busy.value = false;
    }
  };

  return (
    <form ref={form} class="stack" noValidate onSubmit={submit}>
      <p class="email">
        <bdi>{person.email}</bdi>
      </p>
      <div class="limit">
        <Field
          label={t("space")}
          hint={chosen < used && !byDefault.value ? t("people.full", { used: bytes(used) }) : undefined}
          wrong={refused ? t("limit.wrong") : undefined}
        >
          {(attributes) => (
            <input
              class="input"
              type="number"
              min={0}
              step="any"
              required
              autofocus
              disabled={byDefault.value}
              value={amount.value}
              onInput={({ currentTarget }) => (amount.value = currentTarget.value)}
              {...attributes}
            />
          )}
        </Field>
        <Field label={t("limit.unit")}>
          {(attributes) => (
            <select
              class="input"
              disabled={byDefault.value}
              value={unit.value}
              onChange={({ currentTarget }) => (unit.value = Number(currentTarget.value))}
              {...attributes}
            >
              {units.map((power) => (
                <option key={power} value={power}>
                  {unitName(power)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <label class="toggle">
          <input
            type="checkbox"
            checked={byDefault.value}
            onChange={({ currentTarget }) => (byDefault.value = currentTarget.checked)}
          />
          {t("limit.default")}
        </label>
      </div>
      <Field
        label={t("ai.provider")}
        wrong={field === "ai_provider" ? t("ai.notConfigured") : undefined}
      >
        {(attributes) => (
          <select
            ref={provider}
            class="input"
            defaultValue={person.ai_provider ?? ""}
            {...attributes}
          >
            <option value="">{providerName(null)}</option>
            {providers.map((name) => (
              <option key={name} value={name}>
                {providerName(name)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field
        label={t("ai.model")}
        hint={t("ai.model.hint")}
        wrong={field === "ai_model" ? t("ai.model.wrong", { n: modelLength }) : undefined}
      >
        {(attributes) => (
          <input
            ref={model}
            class="input"
            type="text"
            dir="ltr"
            maxLength={modelLength}
            autocapitalize="none"
            autocomplete="off"
            spellcheck={false}
            defaultValue={person.ai_model ?? ""}
            {...attributes}
          />
        )}
      </Field>
      {failure.value && !field && (
        <p class="notice danger" role="alert">
          {tOr(`code.${failure.value.code}`, "code.other")}
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

// An empty text selects the server's default, like null.
function changed(member: "ai_provider" | "ai_model", before: string | null, after: string): UserPatch {
  return after === (before ?? "") ? {} : ({ [member]: after || null } as UserPatch);
}
