// Placeholder of the interface.
import { signal, type ReadonlySignal } from "@preact/signals";
import type { Failure } from "../api/problem.js";
export type UploadState = "waiting" | "sending" | "paused" | "retrying" | "sent" | "refused" | "failed";
export declare class Upload {
  readonly id: string; readonly name: string; readonly size: number; readonly type: string;
  readonly state: ReadonlySignal<UploadState>;
  readonly sent: ReadonlySignal<number>;
  readonly documentId: ReadonlySignal<string | null>;
  readonly failure: ReadonlySignal<Failure | null>;
  pause(): void; resume(): void; cancel(): Promise<void>; dismiss(): void;
}
export const uploads: ReadonlySignal<readonly Upload[]> = signal([]);
export function addFiles(_files: readonly File[]): void {}
export const totals: ReadonlySignal<{ files: number; done: number; refused: number; bytes: number; sent: number; active: boolean }> = signal({ files: 0, done: 0, refused: 0, bytes: 0, sent: 0, active: false });
export const interrupted: ReadonlySignal<ReadonlyMap<string, { name: string; size: number; multipart: boolean }>> = signal(new Map());
export function resumeWith(_documentId: string, _file: File): "ok" | "other-file" { return "other-file"; }
export function startUploads(): void {}
