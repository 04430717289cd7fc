import { t } from "../../i18n/index.js";

export function Topics() {
  return <h1>{t("intray")}</h1>;
}
