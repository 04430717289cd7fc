import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

const margin = 8; // rows that are drawn above and below what is seen

/** The rows that were seen at the last drawing: the first one's position, and the keys of all. */
type Seen = { first: number; keys: readonly string[] };

/**
 * Draws those of count rows that are seen, each with the same height, in a box as high as all of
 * them. It scrolls with the page. What is seen stays where it is when rows come or go above it,
 * unless the top of the box is seen. After each drawing, near is called with the rows drawn.
 */
export function VirtualRows({
  count,
  keyOf,
  render,
  near,
  at,
}: {
  count: number;
  keyOf: (index: number) => string;
  render: (index: number) => ComponentChildren;
  /** Gets the position of the first row drawn, and of the one after the last. */
  near: (start: number, end: number) => void;
  /** The row that is shown at first, and how far below the top of the window. */
  at?: { index: number; top: number } | null;
}) {
  const box = useRef<HTMLDivElement>(null);
  const before = useRef<Seen>({ first: 0, keys: [] });
  const offset = useSignal(0); // from the top of the box to the top of the window
  const height = useSignal(68); // of a row
  const seen = useSignal(1000); // the height of the window

  // Preact ends other effects after the next frame, in which the box no longer exists.
  useLayoutEffect(() => {
    let frame = 0;
    const measure = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      offset.value = -box.current!.getBoundingClientRect().top;
      seen.value = innerHeight;
    };
    const later = () => (frame ||= requestAnimationFrame(measure));
    const resized = () => {
      height.value = rowHeight();
      later();
    };
    resized();
    if (at) scrollBy({ top: topOf(box.current!, at.index) - at.top });
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", resized);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", resized);
    };
  }, []);

  const moved = offset.peek() > 0 ? movement(before.current, count, keyOf) : 0;
  if (moved) offset.value += moved * height.peek();

  const first = useComputed(() => Math.max(0, Math.floor(offset.value / height.value) - margin));
  const last = useComputed(() => Math.ceil((offset.value + seen.value) / height.value) + margin);
  const end = Math.min(count, last.value);
  const start = Math.min(first.value, end);
  useEffect(() => near(start, end));

  useLayoutEffect(() => {
    if (moved) scrollBy({ top: moved * height.peek() });
    const top = Math.min(end, Math.max(0, Math.floor(offset.peek() / height.peek())));
    const keys = Array.from({ length: end - top }, (_, n) => keyOf(top + n));
    before.current = { first: top, keys };
  });

  return (
    <div ref={box} class="rows" role="presentation" style={{ height: `${count * height.value}px` }}>
      <div role="presentation" style={{ paddingBlockStart: `${start * height.value}px` }}>
        {Array.from({ length: end - start }, (_, n) => render(start + n))}
      </div>
    </div>
  );
}

// Returns by how many rows the first of those that were seen, and still exists, has moved.
function movement({ first, keys }: Seen, count: number, keyOf: (index: number) => string): number {
  if (keys.length === 0 || (first < count && keyOf(first) === keys[0])) return 0;
  const places = new Map(keys.map((key, n) => [key, first + n]));
  for (let index = 0; index < count; index++) {
    const place = places.get(keyOf(index));
    if (place !== undefined) return index - place;
  }
  return 0;
}

function rowHeight(): number {
  const style = getComputedStyle(document.documentElement);
  return parseFloat(style.getPropertyValue("--row")) * parseFloat(style.fontSize);
}

const topOf = (box: Element, index: number): number =>
  box.getBoundingClientRect().top + index * rowHeight();

/** Scrolls the page so that a row of the box is seen whole. */
export function scrollToRow(box: Element, index: number): void {
  const top = topOf(box, index);
  const bottom = top + rowHeight();
  const space = 96; // what may float at the edges
  if (top < space) scrollBy({ top: top - space });
  else if (bottom + space > innerHeight) scrollBy({ top: bottom + space - innerHeight });
}
