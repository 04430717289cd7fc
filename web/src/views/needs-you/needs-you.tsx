import { t } from "../../i18n/index.js";

export function NeedsYou() {
  return <h1>{t("intray")}</h1>;
}
