// The frame of the page: what is around every view.
import { useEffect, useRef } from "preact/hooks";
import { session, startSession, user } from "./api/session.js";
import { connection } from "./documents/live.js";
import { needs } from "./documents/needs.js";
import { counts, topicName, topics } from "./documents/sync.js";
import { compare, number, t, type Key } from "./i18n/index.js";
import { path, query } from "./router.js";
import { Announcer } from "./ui/announcer.js";
import { Icon, type IconName } from "./ui/icon.js";
import { lazy } from "./ui/lazy.js";
import { SpaceBar, usedShare } from "./ui/space-bar.js";
import { viewTitle } from "./ui/title.js";
import { Toasts } from "./ui/toasts.js";
import { DropZone } from "./uploads/drop-zone.js";
import { UploadBar } from "./uploads/upload-bar.js";
import { Intray } from "./views/intray/intray.js";
import { SignIn } from "./views/sign-in.js";

const Topics = lazy(async () => (await import("./views/topics/topics.js")).Topics);
const NeedsYou = lazy(async () => (await import("./views/needs-you/needs-you.js")).NeedsYou);
const Account = lazy(async () => (await import("./views/account/account.js")).Account);
const DocumentView = lazy(async () => (await import("./views/document/document.js")).DocumentView);
const Administration = lazy(
  async () => (await import("./views/administration/administration.js")).Administration,
);

type Place = { path: string; name: Key; icon: IconName; admin?: boolean };
const places: Place[] = [
  { path: "/", name: "intray", icon: "inbox" },
  { path: "/needs-you", name: "needsYou", icon: "attention" },
  { path: "/topics", name: "topics", icon: "topics" },
  { path: "/account", name: "account", icon: "account" },
  { path: "/administration", name: "administration", icon: "people", admin: true },
];

export function App() {
  const { state } = session.value;
  return (
    <>
      {state === "starting" ? null : user.value ? <Frame /> : <Outside />}
      <Announcer />
    </>
  );
}

/** What is shown without a session. */
function Outside() {
  const unreachable = session.value.state === "unreachable";
  useEffect(() => {
    if (!unreachable) return undefined;
    const timer = setTimeout(() => void startSession(), 3000);
    return () => clearTimeout(timer);
  }, [session.value]); // after each attempt
  useTitle(t("signIn"));
  return unreachable ? (
    <main class="blank">
      <p>{t("unreachable")}</p>
    </main>
  ) : (
    <SignIn />
  );
}

function Frame() {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const { View, title } = viewOf(path.value);
  useTitle(viewTitle.value || title);

  // After a change of the view, the keyboard and screen readers begin at its top, unless the view
  // has a place where the reader was.
  useEffect(() => {
    const inside = main.current!.contains(document.activeElement);
    if (!first.current && !inside) main.current!.focus({ preventScroll: true });
    first.current = false;
  }, [View]);

  return (
    <>
      <a class="skip" href="#main">
        {t("skip")}
      </a>
      <div class="frame">
        <header class="side">
          <a class="brand" href="/">
            <Icon name="inbox" />
            Intray
          </a>
          <Places />
          <TopicList />
          <Space />
        </header>
        <main ref={main} id="main" tabindex={-1}>
          <View />
        </main>
      </div>
      <div class="floating" role="region" aria-label={t("messages")}>
        <Toasts />
        <UploadBar />
        <ConnectionState />
      </div>
      <DropZone />
      {session.value.state === "signed-out" && <SignIn />}
    </>
  );
}

function viewOf(at: string): { View: () => preact.ComponentChildren; title: string } {
  const show = (View: preact.ComponentType, name: Key) => ({
    View: View as () => preact.ComponentChildren,
    title: t(name),
  });
  if (at === "/") return show(Intray, "intray");
  if (at === "/needs-you") return show(NeedsYou, "needsYou");
  if (at === "/topics") return show(Topics, "topics");
  if (at === "/account") return show(Account, "account");
  if (at.startsWith("/documents/")) return show(DocumentView, "document");
  if (at === "/administration" && user.value?.role === "admin") {
    return show(Administration, "administration");
  }
  return show(NotFound, "notFound");
}

function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Intray`;
  }, [title]);
}

function Places() {
  const waiting = needs();
  return (
    <nav class="nav places" aria-label={t("navigation")}>
      <ul>
        {places
          .filter(({ admin }) => !admin || user.value?.role === "admin")
          .map((place) => (
            <li key={place.path}>
              <a href={place.path} aria-current={current(place.path) ? "page" : undefined}>
                <Icon name={place.icon} />
                <span class="label">{t(place.name)}</span>
                {place.path === "/needs-you" && waiting > 0 && (
                  <span class="badge strong">
                    {waiting > 99 ? `${number(99)}+` : number(waiting)}
                  </span>
                )}
              </a>
            </li>
          ))}
      </ul>
    </nav>
  );
}

const current = (at: string): boolean =>
  path.value === at && !(at === "/" && query.value.has("topic"));

/** The topics that documents have, each a link to its documents. */
function TopicList() {
  const numbers = counts.value?.by_topic ?? {};
  const used = topics.value.filter(({ id }) => numbers[id]);
  if (used.length === 0) return null;
  return (
    <nav class="nav topics" aria-label={t("topics")}>
      <h2>{t("topics")}</h2>
      <ul>
        {used
          .toSorted((a, b) => compare()(a.name, b.name))
          .map((topic) => ({ id: topic.id, name: topicName(topic) }))
          .map(({ id, name }) => (
            <li key={id}>
              <a
                href={`/?topic=${id}`}
                aria-current={isShown(id) ? "page" : undefined}
              >
                <span class="name">{name}</span>
                <span class="badge">{count(numbers[id] ?? 0)}</span>
              </a>
            </li>
          ))}
      </ul>
    </nav>
  );
}

const isShown = (topic: string): boolean =>
  path.value === "/" && query.value.get("topic") === topic;

const count = (n: number): string => (n >= 10_000 ? `${number(10_000)}+` : number(n));

/** How much of the user's space is used. */
function Space() {
  const { quota } = user.value!;
  const share = usedShare(quota);
  return (
    <section class="space" aria-label={t("space")}>
      <SpaceBar quota={quota} />
      {share >= 0.8 && (
        <span>
          {t(share >= 1 ? "space.full" : "space.nearly")}{" "}
          <a href="/?sort=size">{t("space.make")}</a>
        </span>
      )}
    </section>
  );
}

function ConnectionState() {
  const state = connection.value;
  if (state === "live") return null;
  return (
    <p class="connection" role="status">
      {t(`connection.${state}`)}
    </p>
  );
}

function NotFound() {
  return (
    <div class="blank">
      <h1>{t("notFound")}</h1>
      <a class="button" href="/">
        {t("toIntray")}
      </a>
    </div>
  );
}
