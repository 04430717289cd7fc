// One file on its way to storage.
import { signal, type Signal } from "@preact/signals";
import type { Failure } from "../api/problem.js";

export type UploadState =
  | "waiting" // for its turn
  | "sending"
  | "paused" // by the user
  | "retrying" // after a failure that passes: it goes on by itself
  | "sent" // storage has the file; the document takes over
  | "refused" // it was never begun: `failure` says why
  | "failed"; // it cannot go on: `failure` says why

/** What a user can do with an upload. */
export type Actions = Record<"pause" | "resume" | "dismiss", (upload: Upload) => void> & {
  cancel: (upload: Upload) => Promise<void>;
};

/** What is known of an upload before it begins, and what its record keeps. */
export type Description = {
  key: string; // under which the API repeats the request instead of creating another document
  name: string;
  size: number;
  type: string;
  lastModified: number;
  multipart: boolean;
};

/** A file on its way to storage. Only the modules of this folder change its signals. */
export class Upload {
  readonly state: Signal<UploadState> = signal("waiting");
  /** How many bytes were sent. It changes at most once per animation frame. */
  readonly sent = signal(0);
  readonly documentId = signal<string | null>(null);
  /** Why the upload was refused or failed. */
  readonly failure = signal<Failure | null>(null);
  /** How often it failed for a reason that passes. */
  attempts = 0;
  /** Whether the server has confirmed the file, or its document was deleted. */
  concluded = false;
  /** Whether it is no longer shown. */
  removed = false;

  readonly #actions: Actions;

  constructor(
    readonly file: File,
    readonly description: Description,
    actions: Actions,
  ) {
    this.#actions = actions;
  }

  /** A key for the row that shows the upload. */
  get id(): string {
    return this.description.key;
  }
  get name(): string {
    return this.description.name;
  }
  get size(): number {
    return this.description.size;
  }
  get type(): string {
    return this.description.type;
  }

  /** Stops sending until the upload is resumed. */
  pause(): void {
    this.#actions.pause(this);
  }

  /** Goes on where the upload was paused. */
  resume(): void {
    this.#actions.resume(this);
  }

  /** Gives the upload up and deletes its document. The row disappears at once. */
  cancel(): Promise<void> {
    return this.#actions.cancel(this);
  }

  /** Removes the row of an upload that has ended. */
  dismiss(): void {
    this.#actions.dismiss(this);
  }
}
