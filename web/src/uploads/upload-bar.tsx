import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { documentOf } from "../documents/store.js";
import { percent, t } from "../i18n/index.js";
import { announce } from "../ui/announcer.js";
import { totals, uploads } from "./queue.js";

const interval = 1000; // milliseconds between two looks at all the files
const speech = 5; // looks between two announcements

/** Counts this page's files whose sorting has ended, whatever its result. */
function countSorted(): number {
  let n = 0;
  for (const { documentId } of uploads.peek()) {
    const status = documentId.peek() && documentOf(documentId.peek()!)?.peek().status;
    if (status && status !== "pending" && status !== "uploaded") n++;
  }
  return n;
}

/** How far all files of this page are: bytes while they are sent, then how many are sorted. */
export function UploadBar() {
  const sorted = useSignal(0);
  const { files, refused, bytes, sent, active } = totals.value;
  const expected = files - refused;
  const going = active || (expected > 0 && sorted.value < expected);

  useEffect(() => {
    if (!going) return undefined;
    let looks = 0;
    const look = () => {
      const n = countSorted();
      const of = totals.peek().files - totals.peek().refused;
      if (n !== sorted.peek() && (n === of || looks++ % speech === 0)) {
        announce(t("sorted", { n, of }));
      }
      sorted.value = n;
    };
    const timer = setInterval(look, interval);
    return () => clearInterval(timer);
  }, [going]);

  if (!going) return null;
  const share = bytes ? sent / bytes : 0;
  const text = active
    ? t("sending", { n: expected, share: percent(share) })
    : t("sorted", { n: sorted.value, of: expected });
  return (
    <div class="toast upload-bar">
      <span>{text}</span>
      <progress
        class="bar"
        aria-label={text}
        max={active ? bytes || 1 : expected}
        value={active ? sent : sorted.value}
      />
    </div>
  );
}
