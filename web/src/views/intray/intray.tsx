// The intray: drop files anywhere and watch them being sorted.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { isTemporary } from "../../api/problem.js";
import { undone } from "../../documents/actions.js";
import { addressOf } from "../../documents/filter.js";
import { counts, filtered, list } from "../../documents/sync.js";
import { t } from "../../i18n/index.js";
import { cameBack, navigate } from "../../router.js";
import { addFiles } from "../../uploads/queue.js";
import { Icon } from "../../ui/icon.js";
import { focusTop } from "../../ui/row-focus.js";
import { scrollToRow, VirtualRows } from "../../ui/virtual-rows.js";
import { FilterBar } from "./filter-bar.js";
import { FileRow } from "./row.js";
import {
  choosesRange,
  clearSelection,
  endRange,
  opened,
  openedRow,
  removeFiles,
  rows,
  selectAll,
  selection,
  selectRange,
  toggle,
  type Row,
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

/** A row and its position, which changes when others come or go. */
type Place = { key: string; index: number };

const placeOf = (index: number): Place => ({ key: rows.peek()[index]?.key ?? "", index });

/** Returns the position of a row, or of the one that has taken its place. */
function positionOf({ key, index }: Place): number {
  const all = rows.value;
  if (all[index]?.key === key) return index;
  const at = all.findIndex((row) => row.key === key);
  return at < 0 ? Math.max(0, Math.min(index, all.length - 1)) : at;
}

/** The list of files, which is used with the keyboard like a list of files on a desktop. */
function Files() {
  const grid = useRef<HTMLDivElement>(null);
  const active = useSignal(placeOf(0)); // the row that has the focus, or gets it
  const anchor = useRef(active.peek()); // where a range of selected rows begins
  const focused = useRef<Element | null>(null); // the element that has the focus
  const returnsTo = useRef(cameBack ? openedRow() : -1);
  const { ready, failure, complete, filter } = list.value;
  const count = rows.value.length;
  const activeIndex = positionOf(active.value);

  const focus = (index: number) => {
    active.value = placeOf(Math.max(0, Math.min(index, rows.peek().length - 1)));
    if (grid.current) scrollToRow(grid.current, active.peek().index);
    requestAnimationFrame(() => requestAnimationFrame(() => focusRow()));
  };
  const focusRow = () => {
    const selector = `[data-index="${positionOf(active.peek())}"]`;
    grid.current?.querySelector<HTMLElement>(selector)?.focus({ preventScroll: true });
  };

  // The focus does not go with a row: the one that takes its place gets it.
  useLayoutEffect(() => {
    const lost = focused.current && !focused.current.isConnected;
    if (!lost || document.activeElement !== document.body) return;
    focused.current = null;
    if (count === 0) focusTop();
    else focusRow();
  }, [rows.value]);

  // The reader continues where something was undone, or a document was opened.
  const handled = useRef(undone.peek());
  useSignalEffect(() => {
    if (undone.value === handled.current) return;
    handled.current = undone.value;
    const ids = new Set(undone.value);
    const index = rows.peek().findIndex(({ id }) => id && ids.has(id));
    if (index >= 0) requestAnimationFrame(() => focus(index)); // when it has been drawn
  });
  useLayoutEffect(() => {
    if (returnsTo.current >= 0) focus(returnsTo.current);
    returnsTo.current = -1;
  }, []);

  const moveAnchor = (index: number) => {
    endRange();
    anchor.current = placeOf(index);
  };

  const pick = (index: number, range: boolean) => {
    if (range) return selectRange(positionOf(anchor.current), index);
    moveAnchor(index);
    const { id } = rows.peek()[index]!;
    if (id) toggle(id);
  };

  // Reads the rest of the list and goes to its end, unless the reader goes elsewhere meanwhile.
  const readToEnd = async (range: boolean) => {
    const shown = list.peek();
    const { key } = active.peek();
    const isThere = () => shown === list.peek() && active.peek().key === key;
    await shown.moreWhile(isThere);
    const last = rows.peek().length - 1;
    if (!isThere() || !grid.current || rows.peek()[last]?.key === key) return;
    if (range) selectRange(positionOf(anchor.current), last);
    else moveAnchor(last);
    requestAnimationFrame(() => focus(last)); // when it has its place
  };

  const open = (row: Element, id: string | undefined) => {
    opened.top = row.getBoundingClientRect().top;
    if (id) navigate(`/documents/${id}`);
  };

  const remove = (index: number) => {
    const all = rows.peek();
    const several = selection.peek();
    const goes = ({ id }: Row) => several.has(id ?? "");
    const some = several.size > 0 ? all.filter(goes) : [all[index]!];
    const next = all.slice(index).find((row) => !some.includes(row));
    removeFiles(some);
    clearSelection();
    focus(next ? positionOf({ key: next.key, index }) : count - 1);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const element = target.closest<HTMLElement>("[data-index]");
    const index = element ? positionOf(active.peek()) : -1; // the focus may be on its way there
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
      if (!event.shiftKey) moveAnchor(to);
      else if (!choosesRange()) moveAnchor(index);
      if (event.shiftKey) selectRange(positionOf(anchor.current), to);
      focus(to);
      if (event.key === "End") void readToEnd(event.shiftKey);
    } else if (event.key === " " && target.matches(".row")) {
      pick(index, false);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      selectAll();
    } else if (event.key === "Escape" && selection.peek().size > 0) {
      clearSelection();
    } else if (event.key === "Enter" && target.matches(".row")) {
      open(element!, row.id);
    } else if (event.key === "Delete") {
      remove(index);
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
        onClick={({ target }) => {
          const row = (target as Element).closest("a") && (target as Element).closest(".row");
          if (row) opened.top = row.getBoundingClientRect().top;
        }}
        onFocusIn={({ target }) => {
          focused.current = target as Element;
          const row = (target as Element).closest<HTMLElement>("[data-index]");
          if (row) active.value = placeOf(Number(row.dataset["index"]));
        }}
        onFocusOut={({ target }) => {
          // An element that is removed is still there now.
          queueMicrotask(() => {
            const isThere = (target as Element).isConnected;
            if (isThere && focused.current === target) focused.current = null;
          });
        }}
      >
        <VirtualRows
          key={addressOf(filter)}
          count={count}
          keyOf={(index) => rows.value[index]!.key}
          at={returnsTo.current < 0 ? null : { index: returnsTo.current, top: opened.top }}
          near={(start, end) => {
            list.peek().see(rows.peek().slice(start, end).flatMap(({ id }) => id ?? []));
            if (end > count - 40 && !failure.value) void list.peek().more();
          }}
          render={(index) => {
            const row = rows.value[index]!;
            return (
              <FileRow
                key={row.key}
                row={row}
                index={index}
                active={index === activeIndex}
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
  const failure = list.value.failure.value!;
  return (
    <div class="blank">
      <p>
        {t("list.failed")} {isTemporary(failure) && t("list.repeats")}
      </p>
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
