import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

const margin = 8; // rows that are drawn above and below what is seen

/**
 * Draws those of count rows that are seen, each with the same height, in a box as high as all of
 * them. It scrolls with the page. After each drawing, near is called with the last row drawn.
 */
export function VirtualRows({
  count,
  render,
  near,
}: {
  count: number;
  render: (index: number) => ComponentChildren;
  near: (index: number) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
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
      const style = getComputedStyle(document.documentElement);
      height.value = parseFloat(style.getPropertyValue("--row")) * parseFloat(style.fontSize);
      later();
    };
    resized();
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", resized);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", resized);
    };
  }, []);

  const first = useComputed(() => Math.max(0, Math.floor(offset.value / height.value) - margin));
  const last = useComputed(() => Math.ceil((offset.value + seen.value) / height.value) + margin);
  const end = Math.min(count, last.value);
  const start = Math.min(first.value, end);
  useEffect(() => near(end - 1));

  return (
    <div ref={box} class="rows" role="presentation" style={{ height: `${count * height.value}px` }}>
      <div role="presentation" style={{ transform: `translateY(${start * height.value}px)` }}>
        {Array.from({ length: end - start }, (_, n) => render(start + n))}
      </div>
    </div>
  );
}

/** Scrolls the page so that a row of the box is seen whole. */
export function scrollToRow(box: Element, index: number): void {
  const style = getComputedStyle(document.documentElement);
  const height = parseFloat(style.getPropertyValue("--row")) * parseFloat(style.fontSize);
  const top = box.getBoundingClientRect().top + index * height;
  const space = 96; // what may float at the edges
  if (top < space) scrollBy({ top: top - space });
  else if (top + height + space > innerHeight) scrollBy({ top: top + height + space - innerHeight });
}
