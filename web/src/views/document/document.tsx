import { t } from "../../i18n/index.js";

export function DocumentView() {
  return <h1>{t("intray")}</h1>;
}
