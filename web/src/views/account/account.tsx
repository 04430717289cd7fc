import { t } from "../../i18n/index.js";

export function Account() {
  return <h1>{t("intray")}</h1>;
}
