import { t } from "../../i18n/index.js";
import { People } from "./people.js";
import { SystemTopics } from "./system-topics.js";
import "./administration.css";

/** What administrators do: the people and their quotas, and the topics that all of them share. */
export function Administration() {
  return (
    <>
      <div class="view-head">
        <h1>{t("administration")}</h1>
      </div>
      <div class="administration">
        <People />
        <SystemTopics />
      </div>
    </>
  );
}
