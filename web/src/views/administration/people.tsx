import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api, call } from "../../api/client.js";
import { asFailure } from "../../api/problem.js";
import type { User } from "../../api/types.js";
import { t, tOr } from "../../i18n/index.js";
import { Dialog } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { SpaceBar } from "../../ui/space-bar.js";
import { toast } from "../../ui/toasts.js";
import { PersonForm, providerName } from "./person-form.js";

/** All users, in the order in which they were created. */
export function People() {
  const people = useSignal<readonly User[]>([]);
  const cursor = useSignal<string | null | undefined>(undefined); // undefined: nothing is read yet
  const busy = useSignal(false);
  const failure = useSignal("");
  const edited = useSignal<User | null>(null);

  const more = async () => {
    busy.value = true;
    failure.value = "";
    const query = cursor.peek() ? { cursor: cursor.peek()! } : {};
    try {
      const page = await call(api.GET("/api/admin/users", { params: { query } }));
      people.value = [...people.peek(), ...page.items];
      cursor.value = page.next_cursor;
    } catch (error) {
      const why = tOr(`code.${asFailure(error).code}`, "code.other");
      failure.value = `${t("people.failed")} ${why}`;
    } finally {
      busy.value = false;
    }
  };
  useEffect(() => void more(), []);

  const done = (saved: User | null) => {
    edited.value = null;
    if (!saved) return;
    people.value = people.peek().map((each) => (each.id === saved.id ? saved : each));
    toast({ text: t("people.changed", { name: saved.email }) });
  };

  // The roles are those of a table, which a small screen shows as cards.
  return (
    <section class="stack" aria-labelledby="people">
      <h2 id="people">{t("people")}</h2>
      <table class="people card" role="table" aria-labelledby="people">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader">{t("signIn.email")}</th>
            <th role="columnheader">{t("account.role")}</th>
            <th role="columnheader">{t("space")}</th>
            <th role="columnheader">{t("people.ai")}</th>
            <th role="columnheader">
              <span class="spoken">{t("people.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {people.value.map((person) => (
            <Person key={person.id} person={person} edit={() => (edited.value = person)} />
          ))}
        </tbody>
      </table>
      {failure.value && (
        <p class="notice danger" role="alert">
          {failure.value}
        </p>
      )}
      {busy.value && people.value.length === 0 && <p class="muted">{t("loading")}</p>}
      {(failure.value || cursor.value) && (
        <div class="actions">
          <button type="button" class="button" disabled={busy.value} onClick={() => void more()}>
            {t(failure.value ? "again" : "people.more")}
          </button>
        </div>
      )}
      {edited.value && (
        <Dialog title={t("people.edit")} onClose={() => done(null)}>
          <PersonForm person={edited.value} onDone={done} />
        </Dialog>
      )}
    </section>
  );
}

function Person({ person, edit }: { person: User; edit: () => void }) {
  const { email, role, quota, ai_provider, ai_model } = person;
  return (
    <tr role="row">
      <td role="cell" class="email">
        <bdi>{email}</bdi>
      </td>
      <td role="cell">
        <span class={role === "admin" ? "chip" : "muted"}>{t(`role.${role}`)}</span>
      </td>
      <td role="cell" class="used">
        <SpaceBar quota={quota} />
      </td>
      <td role="cell" class="ai" data-label={t("people.ai")}>
        <span class={ai_provider ? "" : "muted"}>{providerName(ai_provider)}</span>
        {ai_model && <bdi class="muted">{ai_model}</bdi>}
      </td>
      <td role="cell" class="edit">
        <button
          type="button"
          class="button plain icon-only"
          aria-label={t("people.change", { name: email })}
          onClick={edit}
        >
          <Icon name="edit" />
        </button>
      </td>
    </tr>
  );
}
