import { useSignal } from "@preact/signals";
import { config, user } from "../../api/session.js";
import {
  bytes,
  chooseLanguage,
  day,
  language,
  languages,
  t,
  type Language,
} from "../../i18n/index.js";
import { Icon } from "../../ui/icon.js";
import { SpaceBar, usedShare } from "../../ui/space-bar.js";
import { PasswordForm } from "./password-form.js";
import { SignOut } from "./sign-out.js";
import "./account.css";

/** The user's own account. */
export function Account() {
  const { email, role, created_at, has_password } = user.value!;
  return (
    <>
      <div class="view-head">
        <h1>{t("account")}</h1>
        <SignOut />
      </div>
      <div class="account">
        <div class="stack">
          <section class="card stack" aria-labelledby="about-you">
            <h2 id="about-you">{t("account.about")}</h2>
            <dl class="facts">
              <dt>{t("signIn.email")}</dt>
              <dd>
                <bdi>{email}</bdi>
              </dd>
              <dt>{t("account.role")}</dt>
              <dd>{t(`role.${role}`)}</dd>
              <dt>{t("account.since")}</dt>
              <dd>{day(created_at)}</dd>
            </dl>
          </section>
          <Space />
          <LanguageChoice />
        </div>
        <section class="card stack" aria-labelledby="password">
          <h2 id="password">{t("password")}</h2>
          {has_password ? <PasswordForm /> : <NoPassword />}
        </section>
      </div>
    </>
  );
}

function Space() {
  const { quota } = user.value!;
  const share = usedShare(quota);
  // Not a landmark: the frame of the page has one with this name.
  return (
    <section class="card stack">
      <h2>{t("space")}</h2>
      <div class="amounts">
        <SpaceBar quota={quota} />
        <span>
          {share < 1
            ? t("space.left", { left: bytes(quota.limit_bytes - quota.used_bytes) })
            : t("space.full")}
        </span>
      </div>
      <a class="button largest" href="/?sort=size">
        <Icon name="filter" />
        {t("space.largest")}
      </a>
    </section>
  );
}

function LanguageChoice() {
  const failed = useSignal(false);
  const choose = async (next: Language) => {
    failed.value = false;
    try {
      await chooseLanguage(next);
    } catch {
      failed.value = true; // offline, or the page has been updated on the server
    }
  };
  return (
    <section class="card stack" aria-labelledby="language">
      <h2 id="language">{t("language")}</h2>
      <div class="languages" role="radiogroup" aria-labelledby="language">
        {Object.entries(languages).map(([tag, { name }]) => (
          <label key={tag}>
            <input
              type="radio"
              name="language"
              checked={language.value === tag}
              onChange={() => void choose(tag as Language)}
            />
            <bdi lang={tag}>{name}</bdi>
          </label>
        ))}
      </div>
      {failed.value && (
        <p class="notice danger" role="alert">
          {t("language.failed")}
        </p>
      )}
    </section>
  );
}

function NoPassword() {
  const issuer = config.value?.oidc?.issuer;
  return (
    <p>
      {issuer ? t("password.none", { issuer: new URL(issuer).host }) : t("password.none.other")}
    </p>
  );
}
