// The icons of the page: outlines on a grid of 24.
const paths = {
  inbox: "M4 13l2.5-8h11L20 13v6H4zM4 13h5a3 3 0 0 0 6 0h5",
  attention: "M12 8v5M12 16.5v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18",
  topics: "M4 5h7l9 9-6.5 6.5-9-9zM8 9v.01",
  account: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8M4.5 20a7.5 7.5 0 0 1 15 0",
  people: "M9 5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7M2.5 19.5a6.5 6.5 0 0 1 13 0M15.5 5.2a3.5 3.5 0 0 1 0 6.6M18 14a6.5 6.5 0 0 1 3.5 5.5",
  upload: "M12 16V4m0 0L7 9m5-5l5 5M4 16v4h16v-4",
  download: "M12 4v12m0 0l-5-5m5 5l5-5M4 16v4h16v-4",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M20 20l-4.9-4.9",
  filter: "M4 6h16M7 12h10M10 18h4",
  more: "M5 12v.01M12 12v.01M19 12v.01",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  again: "M20 12a8 8 0 1 1-2.5-5.8M20 4v4.5h-4.5",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  pause: "M9 6v12M15 6v12",
  play: "M8 5.5v13l10-6.5z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9v.01",
  mail: "M3 6h18v12H3zM3 7l9 7 9-7",
  table: "M4 5h16v14H4zM4 10h16M4 15h16M10 5v14",
  back: "M20 12H4m0 0l6-6m-6 6l6 6",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  merge: "M5 4v4c0 4 7 4 7 8v4m0 0l-3-3m3 3l3-3M19 4v4c0 4-7 4-7 8",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  plus: "M12 5v14M5 12h14",
} as const;

export type IconName = keyof typeof paths;

/** An icon. It is decoration: the control that it stands in has a name. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
