import { t } from "../../i18n/index.js";

export function Administration() {
  return <h1>{t("intray")}</h1>;
}
