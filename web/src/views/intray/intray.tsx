// The intray: drop files anywhere and watch them being sorted.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { counts, filtered, list } from "../../documents/sync.js";
import { t } from "../../i18n/index.js";
import { navigate } from "../../router.js";
import { addFiles } from "../../uploads/queue.js";
import { Icon } from "../../ui/icon.js";
import { scrollToRow, VirtualRows } from "../../ui/virtual-rows.js";
import { FilterBar } from "./filter-bar.js";
import { FileRow } from "./row.js";
import {
  clearSelection,
  removeFiles,
  rows,
  selectAll,
  selection,
  selectRange,
  toggle,
} from "./rows.js";
import { SelectionBar } from "./selection-bar.js";
import "./intray.css";

export function Intray() {
  useEffect(clearSelection, [list.value]);
  return (
    <>
      <div class="view-head">
        <h1>{t("intray")}</h1>
        <ChooseFiles />
      </div>
      <FilterBar />
      <Files />
      <SelectionBar />
    </>
  );
}

/** The button that opens the browser's choice of files. */
function ChooseFiles() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="button primary" onClick={() => input.current!.click()}>
        <Icon name="upload" />
        {t("choose")}
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          addFiles([...(currentTarget.files ?? [])]);
          currentTarget.value = "";
        }}
      />
    </>
  );
}

/** The list of files, which is used with the keyboard like a list of files on a desktop. */
function Files() {
  const grid = useRef<HTMLDivElement>(null);
  const active = useSignal(0); // the row that has the focus, or gets it
  const anchor = useRef(0); // where a range of selected rows begins
  const { ready, failure, complete } = list.value;
  const count = rows.value.length;

  const focus = (index: number) => {
    const next = Math.max(0, Math.min(index, count - 1));
    active.value = next;
    const box = grid.current!;
    scrollToRow(box, next);
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        box.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus({ preventScroll: true }),
      ),
    );
  };

  const pick = (index: number, range: boolean) => {
    if (range) return selectRange(anchor.current, index);
    anchor.current = index;
    const { id } = rows.peek()[index]!;
    if (id) toggle(id);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const index = Number(target.closest<HTMLElement>("[data-index]")?.dataset["index"] ?? -1);
    const row = rows.peek()[index];
    if (!row || target.matches("input[type=text], select") || target.closest("[popover]")) return;
    const page = Math.max(1, Math.floor(innerHeight / target.clientHeight) - 3);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -count,
      End: count,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      const to = Math.max(0, Math.min(index + step, count - 1));
      if (event.shiftKey) selectRange(anchor.current, to);
      else anchor.current = to;
      focus(to);
    } else if (event.key === " " && target.matches(".row")) {
      pick(index, false);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      selectAll();
    } else if (event.key === "Escape" && selection.peek().size > 0) {
      clearSelection();
    } else if (event.key === "Enter" && target.matches(".row")) {
      if (row.id) navigate(`/documents/${row.id}`);
    } else if (event.key === "Delete") {
      const several = selection.peek();
      removeFiles(several.size > 0 ? rows.peek().filter(({ id }) => several.has(id ?? "")) : [row]);
      clearSelection();
      focus(index);
    } else {
      return;
    }
    event.preventDefault();
  };

  if (count === 0) {
    if (failure.value) return <Unreadable />;
    if (!ready.value || !complete.value) return <p class="blank muted">{t("loading")}</p>;
    return filtered.value ? <NothingFound /> : <Empty />;
  }
  return (
    <>
      <div
        ref={grid}
        class="files"
        role="grid"
        aria-label={t("files")}
        aria-rowcount={complete.value ? count : -1}
        aria-multiselectable="true"
        onKeyDown={onKeyDown}
        onFocusIn={({ target }) => {
          const row = (target as Element).closest<HTMLElement>("[data-index]");
          if (row) active.value = Number(row.dataset["index"]);
        }}
      >
        <VirtualRows
          count={count}
          near={(index) => index > count - 40 && !failure.value && void list.peek().more()}
          render={(index) => {
            const row = rows.value[index]!;
            return (
              <FileRow
                key={row.key}
                row={row}
                index={index}
                active={Math.min(active.value, count - 1) === index}
                onPick={(range) => pick(index, range)}
              />
            );
          }}
        />
      </div>
      {failure.value && <Unreadable />}
    </>
  );
}

function Unreadable() {
  return (
    <div class="blank">
      <p>{t("list.failed")}</p>
      <button type="button" class="button" onClick={() => list.peek().retry()}>
        {t("again")}
      </button>
    </div>
  );
}

function NothingFound() {
  return (
    <div class="blank">
      <Icon name="search" />
      <p>{t("list.nothing")}</p>
      <a class="button" href="/">
        {t("filter.clear")}
      </a>
    </div>
  );
}

/** What a first visit sees, and an intray without documents. */
function Empty() {
  const first = !Object.values(counts.value?.by_status ?? {}).some((n) => n > 0);
  return (
    <div class="blank invitation">
      <Icon name="inbox" />
      <h2>{t(first ? "empty.first" : "empty")}</h2>
      <p class="muted">{t("empty.how")}</p>
    </div>
  );
}
