import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import { api, call } from "../../api/client.js";
import { asFailure } from "../../api/problem.js";
import { user } from "../../api/session.js";
import { t, tOr } from "../../i18n/index.js";
import { Field } from "../../ui/field.js";
import { toast } from "../../ui/toasts.js";

// The limits of the API, in characters of the normalized password.
const shortest = 15;
const longest = 1024;

type Problem = { field?: "current" | "next"; text: string };

/** The form for changing the password. */
export function PasswordForm() {
  const form = useRef<HTMLFormElement>(null);
  const current = useRef<HTMLInputElement>(null);
  const next = useRef<HTMLInputElement>(null);
  const visible = useSignal(false);
  const busy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  const wrong = (field: Problem["field"]) =>
    problem.value?.field === field ? problem.value?.text : undefined;

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const [before, after] = [current.current!.value, next.current!.value];
    problem.value = check(before, after) ?? null;
    if (!problem.value) {
      busy.value = true;
      problem.value = await change(before, after);
      busy.value = false;
    }
    if (problem.value) {
      (problem.value.field === "next" ? next : current).current?.focus();
      return;
    }
    form.current?.reset();
    visible.value = false;
    toast({ text: t("password.changed") });
  };

  return (
    <form ref={form} class="stack" noValidate onSubmit={submit}>
      {/* Password managers store the new password with it. */}
      <input type="email" name="email" autocomplete="username" value={user.value!.email} hidden />
      <PasswordField
        input={current}
        label={t("password.current")}
        wrong={wrong("current")}
        autocomplete="current-password"
        visible={visible.value}
      />
      <PasswordField
        input={next}
        label={t("password.new")}
        hint={t("password.rule", { n: shortest })}
        wrong={wrong("next")}
        autocomplete="new-password"
        visible={visible.value}
      />
      <label class="toggle">
        <input
          type="checkbox"
          checked={visible.value}
          onChange={({ currentTarget }) => (visible.value = currentTarget.checked)}
        />
        {t("password.show")}
      </label>
      {problem.value && !problem.value.field && (
        <p class="notice danger" role="alert">
          {problem.value.text}
        </p>
      )}
      <p class="muted small">{t("password.others")}</p>
      <div class="actions">
        <button type="submit" class="button primary" disabled={busy.value}>
          {t("password.change")}
        </button>
      </div>
    </form>
  );
}

function PasswordField({
  input,
  label,
  hint,
  wrong,
  autocomplete,
  visible,
}: {
  input: RefObject<HTMLInputElement | null>;
  label: string;
  hint?: string;
  wrong: string | undefined;
  autocomplete: "current-password" | "new-password";
  visible: boolean;
}) {
  return (
    <Field label={label} hint={hint} wrong={wrong}>
      {(attributes) => {
        const all = {
          ...attributes,
          ref: input,
          class: "input",
          dir: "ltr",
          autocomplete,
          autocapitalize: "none",
          spellcheck: false,
          required: true,
        } as const;
        return visible ? <input type="text" {...all} /> : <input type="password" {...all} />;
      }}
    </Field>
  );
}

/** Returns what is wrong with two passwords before they are sent. */
function check(current: string, next: string): Problem | undefined {
  const length = [...next.normalize("NFC")].length;
  if (!current) return { field: "current", text: t("password.wrong") };
  if (length < shortest) return { field: "next", text: t("password.short", { n: shortest - length }) };
  if (length > longest) return { field: "next", text: t("password.long", { n: longest }) };
  return undefined;
}

/** Changes the password, or returns why it was refused. */
async function change(current: string, next: string): Promise<Problem | null> {
  const body = { current_password: current, new_password: next };
  try {
    await call(api.POST("/api/auth/password", { body }));
    return null;
  } catch (error) {
    const { code, problem, retryAfter } = asFailure(error);
    switch (problem.pointer) {
      case "/current_password":
        return { field: "current", text: t("password.wrong") };
      case "/new_password":
        return { field: "next", text: t("password.refused") };
    }
    if (code === "rate_limited") return { text: t("signIn.wait", { n: retryAfter }) };
    return { text: tOr(`code.${code}`, "code.other") };
  }
}
