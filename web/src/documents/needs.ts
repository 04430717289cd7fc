// What needs the user: the same for the view and for the number beside its link.
import type { Document, Topic } from "../api/types.js";
import { interrupted } from "../uploads/queue.js";
import { leaving } from "./actions.js";
import { documentOf } from "./store.js";
import { counts, topics } from "./sync.js";

/** Reports whether a document is not going to have a topic without the user. */
export const needsUser = ({ status, topics }: Document): boolean =>
  topics.length === 0 && status !== "pending" && status !== "uploaded";

/** The uploads that go on when their files are chosen again, by the id of their document. */
export const brokenUploads = () =>
  [...interrupted.value].filter(([id]) => !leaving.value.has(id));

/** The topics that the classifier has suggested. */
export const suggestions = (): Topic[] => topics.value.filter(({ suggested }) => suggested);

/** Returns how much needs the user. Documents that are being sorted again may be left out. */
export function needs(): number {
  const isGoing = (id: string) => {
    const document = documentOf(id)?.value;
    return document && needsUser(document);
  };
  const going = [...leaving.value].filter(isGoing).length;
  const { no_topic: all = 0, by_status: status } = counts.value ?? {};
  const waiting = (status?.pending ?? 0) + (status?.uploaded ?? 0);
  const documents = Math.max(0, all - waiting - going);
  return documents + brokenUploads().length + suggestions().length;
}
