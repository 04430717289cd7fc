import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { asFailure, Failure, isTemporary } from "../../api/problem.js";
import type { Document } from "../../api/types.js";
import { download, fileURL, isStored } from "../../documents/actions.js";
import { iconOf } from "../../documents/icons.js";
import { bytes, t, tOr } from "../../i18n/index.js";
import { Icon } from "../../ui/icon.js";
import { previewOf } from "./kinds.js";

const most = 256 * 1024; // bytes of a text that are shown

/** What is in a document's file, as far as the page can show it safely. */
export function Preview({ document }: { document: Document }) {
  const type = document.detected_type ?? document.content_type;
  const kind = isStored(document) ? previewOf(document) : "noFile";
  return (
    <section class={`preview ${kind}`} aria-label={t("document.preview")}>
      {kind === "noFile" ? (
        <div class="blank">
          <Icon name={iconOf(type)} />
          <p class="muted">{t("document.noFile")}</p>
        </div>
      ) : kind === "none" ? (
        <NoPreview document={document} />
      ) : kind === "text" ? (
        <Content key={type} document={document} load={readText} show={TextPreview} />
      ) : kind === "picture" ? (
        <Content key={type} document={document} load={inlineURL} show={Picture} />
      ) : (
        <Content key={type} document={document} load={inlineURL} show={Pdf} />
      )}
    </section>
  );
}

const inlineURL = ({ id }: Document) => fileURL(id, "inline");

type ShowProps<T> = { document: Document; content: T; reload: () => void };

/** Loads something of a document and shows it, or why it cannot be shown. */
function Content<T>({
  document,
  load,
  show: Show,
}: {
  document: Document;
  load: (document: Document) => Promise<T>;
  show: (props: ShowProps<T>) => preact.ComponentChildren;
}) {
  const state = useSignal<{ content: T } | { failure: Failure } | null>(null);
  const read = async () => {
    try {
      state.value = { content: await load(document) };
    } catch (error) {
      state.value = { failure: asFailure(error) };
    }
  };
  useEffect(() => void read(), []);

  if (!state.value) return <p class="blank muted">{t("loading")}</p>;
  if ("content" in state.value) {
    return <Show document={document} content={state.value.content} reload={read} />;
  }
  const { failure } = state.value;
  if (failure.code === "type_not_allowed") return <NoPreview document={document} />;
  return (
    <div class="blank">
      <p>{tOr(`code.${failure.code}`, "code.other")}</p>
      {isTemporary(failure) && (
        <button type="button" class="button" onClick={read}>
          {t("again")}
        </button>
      )}
    </div>
  );
}

function NoPreview({ document }: { document: Document }) {
  return (
    <div class="blank">
      <Icon name={iconOf(document.detected_type ?? document.content_type)} />
      <p>{t("document.noPreview")}</p>
      <p class="muted">{t("document.noPreview.how")}</p>
      <button type="button" class="button" onClick={() => download(document.id)}>
        <Icon name="download" />
        {t("download")}
      </button>
    </div>
  );
}

// The browser's viewer is asked not to take room for a list of the pages.
const Pdf = ({ document, content }: ShowProps<string>) => (
  <iframe src={`${content}#navpanes=0`} title={document.filename} />
);

/** A picture. Its URL may have expired before it was loaded, so a new one is requested once. */
function Picture({ document, content, reload }: ShowProps<string>) {
  const repeated = useRef(false);
  const broken = useSignal(false);
  if (broken.value) return <NoPreview document={document} />;
  return (
    <img
      src={content}
      alt={document.filename}
      onError={() => {
        if (repeated.current) broken.value = true;
        else reload();
        repeated.current = true;
      }}
    />
  );
}

type Beginning = { text: string; bytes: number };

/** Reads the beginning of a text. */
async function readText(document: Document): Promise<Beginning> {
  if (document.size === 0) return { text: "", bytes: 0 }; // storage refuses a range of nothing
  const headers = { Range: `bytes=0-${most - 1}` };
  const response = await fetch(await inlineURL(document), { headers }).catch(() => {
    throw new Failure("network");
  });
  if (!response.ok) throw new Failure("proxy", { status: response.status });
  const data = new Uint8Array(await response.arrayBuffer()).subarray(0, most);
  return { text: decode(data, response.headers.get("Content-Type")), bytes: data.length };
}

/** Decodes a text as its byte order mark or the type of the response says. */
function decode(data: Uint8Array, type: string | null): string {
  const [first, second] = data;
  const utf16 = first === 0xff && second === 0xfe ? "utf-16le" : "utf-16be";
  const marked = utf16 === "utf-16le" || (first === 0xfe && second === 0xff);
  const named = /charset="?([^\s;"]+)/i.exec(type ?? "")?.[1] ?? "utf-8";
  const decoder = (label: string) => new TextDecoder(label).decode(data, { stream: true });
  try {
    return decoder(marked ? utf16 : named);
  } catch {
    return decoder("utf-8"); // the type names no encoding that browsers know
  }
}

function TextPreview({ document, content: { text, bytes: read } }: ShowProps<Beginning>) {
  if (!text) return <p class="blank muted">{t("document.empty")}</p>;
  return (
    <>
      {read < document.size && (
        <p class="notice">
          <span>{t("document.part", { part: bytes(read), size: bytes(document.size) })}</span>
        </p>
      )}
      <pre dir="auto" tabindex={0} aria-label={document.filename}>
        {text}
      </pre>
    </>
  );
}
