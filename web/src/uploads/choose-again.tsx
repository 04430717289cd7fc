import { useRef } from "preact/hooks";
import { t } from "../i18n/index.js";
import { toast } from "../ui/toasts.js";
import { resumeWith } from "./queue.js";

/** A button for choosing the file of an interrupted upload again. */
export function ChooseAgain({
  id,
  name,
  tabindex = 0,
}: {
  id: string;
  name: string;
  tabindex?: number;
}) {
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class="button small"
        tabindex={tabindex}
        aria-label={t("row.chooseAgainNamed", { name })}
        onClick={() => chooser.current!.click()}
      >
        {t("row.chooseAgain")}
      </button>
      <input
        ref={chooser}
        type="file"
        hidden
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file && resumeWith(id, file) === "other-file") {
            toast({ text: t("row.otherFile", { name }) });
          }
          currentTarget.value = "";
        }}
      />
    </>
  );
}
