// Files can be dropped and pasted anywhere on the page.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.js";
import { navigate, path } from "../router.js";
import { Icon } from "../ui/icon.js";
import { addFiles } from "./queue.js";
import "./drop-zone.css";

/** Takes dropped and pasted files, and shows while files are dragged that they can be dropped. */
export function DropZone() {
  const over = useSignal(false);

  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const onDragOver = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer!.dropEffect = "copy";
      over.value = true;
    };
    const onDragLeave = (event: DragEvent) => {
      if (!event.relatedTarget) over.value = false; // out of the window
    };
    const onDrop = (event: DragEvent) => {
      over.value = false;
      if (!hasFiles(event)) return;
      event.preventDefault();
      void filesOf(event.dataTransfer!).then(take);
    };
    const onPaste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0 || isField(event.target)) return;
      event.preventDefault();
      take(files);
    };
    addEventListener("dragover", onDragOver);
    addEventListener("dragleave", onDragLeave);
    addEventListener("drop", onDrop);
    addEventListener("paste", onPaste);
    return () => {
      removeEventListener("dragover", onDragOver);
      removeEventListener("dragleave", onDragLeave);
      removeEventListener("drop", onDrop);
      removeEventListener("paste", onPaste);
    };
  }, []);

  if (!over.value) return null;
  // Only who drags with a pointer needs it.
  return (
    <div class="drop-zone" aria-hidden="true">
      <div>
        <Icon name="upload" />
        <p>{t("drop")}</p>
      </div>
    </div>
  );
}

// What is pasted into a field is text, even if the clipboard also has its picture.
const isField = (target: EventTarget | null): boolean =>
  target instanceof Element && target.matches("input, textarea");

/** Uploads files, and shows them. */
export function take(files: readonly File[]): void {
  if (files.length === 0) return;
  addFiles(files);
  if (path.peek() !== "/") navigate("/");
}

/** Returns the dropped files, and those in dropped folders. */
async function filesOf(data: DataTransfer): Promise<File[]> {
  // The entries have to be taken before the first await, after which the data is gone.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found: File[] = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push(entry);
    else if (entry) found.push(...(await filesOfEntry(entry)));
  }
  return found;
}

// What cannot be read, such as a file that is gone by now, does not keep the others.
const filesOfEntry = (entry: FileSystemEntry): Promise<File[]> =>
  entry.isFile
    ? new Promise((resolve) =>
        (entry as FileSystemFileEntry).file(
          (file) => resolve([file]),
          () => resolve([]),
        ),
      )
    : filesBelow(entry as FileSystemDirectoryEntry);

async function filesBelow(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const found: File[] = [];
  for (;;) {
    // A call returns some of the entries, and none after the last ones.
    const some = await new Promise<FileSystemEntry[]>((resolve) =>
      reader.readEntries(resolve, () => resolve([])),
    );
    if (some.length === 0) return found;
    for (const each of some) {
      if (!each.name.startsWith(".")) found.push(...(await filesOfEntry(each))); // not .DS_Store
    }
  }
}
