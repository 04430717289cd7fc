// A page without views: its tests call the modules of the page directly.
import { effect } from "@preact/signals";
import * as sessions from "/src/api/session.ts";
import * as store from "/src/documents/store.ts";
import * as sync from "/src/documents/sync.ts";
import * as queue from "/src/uploads/queue.ts";

Object.assign(window, { ...queue, ...sessions, ...store, sync, effect });
sync.startSync();
queue.startUploads();
await sessions.startSession();
document.querySelector("input")!.addEventListener("change", ({ target }) => {
  queue.addFiles([...(target as HTMLInputElement).files!]);
});
document.title = "ready";
