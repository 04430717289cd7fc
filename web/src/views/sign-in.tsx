import { useSignal, useSignalEffect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { asFailure, type Failure } from "../api/problem.js";
import { config, session, signIn, user, type Refusal } from "../api/session.js";
import { t, tOr } from "../i18n/index.js";
import { Icon } from "../ui/icon.js";
import "./sign-in.css";

/** The form for signing in. When a session has ended, it lies over what the user was doing. */
export function SignIn() {
  const failure = useSignal<Failure | null>(null);
  const busy = useSignal(false);
  const email = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  const cover = useRef<HTMLDialogElement>(null);
  const refusal = useSignal<Refusal | null>(null);
  const issuer = config.value?.oidc?.issuer;
  const provider = issuer ? new URL(issuer).host : "";
  const ended = session.value.state === "signed-out" && session.value.ended;
  const wrong = failure.value
    ? explain(failure.value)
    : refusal.value && t(`signIn.provider.${refusal.value}`, { issuer: provider });

  // As soon as the form is there, whoever types writes into it.
  useLayoutEffect(() => {
    cover.current?.showModal();
    (user.value ? password : email).current!.focus();
  }, []);

  useSignalEffect(() => {
    if (session.value.state === "signed-out") refusal.value = session.value.refusal ?? null;
  });

  const redirect = async () => {
    busy.value = true;
    failure.value = refusal.value = null;
    try {
      const { beginSignIn, SignInError } = await import("../api/oidc.js");
      await beginSignIn(config.value!).catch((error: unknown) => {
        if (!(error instanceof SignInError)) throw error;
        refusal.value = error.refusal;
      });
    } catch {
      refusal.value = "unreachable"; // the provider, or the module
    } finally {
      busy.value = false;
    }
  };

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    busy.value = true;
    failure.value = refusal.value = null;
    try {
      await signIn(email.current!.value, password.current!.value);
    } catch (error) {
      failure.value = asFailure(error);
      password.current?.select();
    } finally {
      busy.value = false;
    }
  };

  const form = (
    <form class="sign-in card stack" onSubmit={submit}>
      <p class="brand">
        <Icon name="inbox" />
        Intray
      </p>
      <h1>{t("signIn")}</h1>
      {ended && <p class="notice">{t("signIn.ended")}</p>}
      <label class="field">
        <span class="label">{t("signIn.email")}</span>
        <input
          ref={email}
          class="input"
          type="email"
          name="email"
          autocomplete="username"
          maxLength={320}
          required
          defaultValue={user.value?.email}
        />
      </label>
      <label class="field">
        <span class="label">{t("signIn.password")}</span>
        <input
          ref={password}
          class="input"
          type="password"
          name="password"
          autocomplete="current-password"
          maxLength={4096}
          required
        />
      </label>
      {wrong && (
        <p class="notice danger" role="alert">
          {wrong}
        </p>
      )}
      <button type="submit" class="button primary" disabled={busy.value}>
        {t("signIn")}
      </button>
      {issuer && (
        <button type="button" class="button" disabled={busy.value} onClick={redirect}>
          {t("signIn.provider", { issuer: provider })}
        </button>
      )}
    </form>
  );
  if (user.value) {
    return (
      <dialog
        ref={cover}
        class="cover"
        onCancel={(event) => event.preventDefault()}
        // A browser lets a dialog be cancelled if Escape is pressed often enough.
        onClose={() => cover.current?.showModal()}
      >
        {form}
      </dialog>
    );
  }
  return <main class="outside">{form}</main>;
}

function explain({ code, retryAfter }: Failure): string {
  if (code === "unauthenticated") return t("signIn.refused");
  if (code === "rate_limited") return t("signIn.wait", { n: retryAfter });
  return tOr(`code.${code}`, "code.other");
}
