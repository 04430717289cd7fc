import { useSignal } from "@preact/signals";
import { signOut } from "../../api/session.js";
import { t } from "../../i18n/index.js";
import { Dialog } from "../../ui/dialog.js";
import { countUnfinished } from "../../uploads/queue.js";

/** The button for signing out. It asks while files are being sent, which signing out ends. */
export function SignOut() {
  const unfinished = useSignal(0);
  const stay = () => void (unfinished.value = 0);
  const ask = async () => {
    unfinished.value = await countUnfinished();
    if (unfinished.value === 0) await signOut();
  };
  return (
    <>
      <button type="button" class="button" onClick={() => void ask()}>
        {t("signOut")}
      </button>
      {unfinished.value > 0 && (
        <Dialog title={t("signOut")} onClose={stay}>
          <p>{t("signOut.sending", { n: unfinished.value })}</p>
          <div class="actions">
            <button type="button" class="button" onClick={stay}>
              {t("signOut.stay")}
            </button>
            <button type="button" class="button danger" onClick={() => void signOut()}>
              {t("signOut")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
