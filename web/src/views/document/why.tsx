import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, call } from "../../api/client.js";
import { asFailure } from "../../api/problem.js";
import type { Document, TopicEvidence } from "../../api/types.js";
import { documentOf } from "../../documents/store.js";
import { topicName } from "../../documents/sync.js";
import { t, tOr } from "../../i18n/index.js";
import { FileName } from "../../ui/file-name.js";

interface Evidence extends TopicEvidence {
  names: (string | undefined)[]; // of the examples
}

/** Why a document has its topics, read when a person asks for it. */
export function Why({ document }: { document: Document }) {
  const { id, version } = document;
  const open = useSignal(false);
  const evidence = useSignal<Evidence[] | null>(null);
  const failure = useSignal<string | null>(null);

  useEffect(() => {
    if (!open.value) return;
    let current = true;
    failure.value = null;
    read(id).then(
      (read) => current && (evidence.value = read),
      (error: unknown) =>
        current && (failure.value = tOr(`code.${asFailure(error).code}`, "code.other")),
    );
    return () => {
      current = false;
    };
  }, [id, version, open.value]);

  return (
    <details class="why" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{t("document.why")}</summary>
      <div aria-live="polite">
        {failure.value ? (
          <p class="wrong">{failure.value}</p>
        ) : (
          evidence.value && <Reasons document={document} evidence={evidence.value} />
        )}
      </div>
    </details>
  );
}

function Reasons({ document, evidence }: { document: Document; evidence: Evidence[] }) {
  const topics = document.topics.flatMap((topic) => {
    const reason = evidence.find(({ id }) => id === topic.id);
    return reason ? [{ topic, reason }] : [];
  });
  if (topics.length === 0) return <p class="muted small">{t("document.why.none")}</p>;
  const quotes = document.classified_by?.provider !== "builtin";
  return (
    <dl>
      {topics.map(({ topic, reason: { words, examples, names } }) => (
        <div key={topic.id}>
          <dt>
            <bdi>{topicName(topic)}</bdi>
          </dt>
          {words.length > 0 && (
            <dd dir="auto">
              {quotes ? <q>{words.join(" ")}</q> : words.join(" · ")}
            </dd>
          )}
          {examples.length > 0 && (
            <dd class="small">
              {t("document.why.like")}
              <ul>
                {examples.map((example, i) => (
                  <li key={example}>
                    <a href={`/documents/${example}`}>
                      <FileName name={names[i] ?? t("document.duplicateOther")} />
                    </a>
                  </li>
                ))}
              </ul>
            </dd>
          )}
        </div>
      ))}
    </dl>
  );
}

/** Reads the evidence for the topics of a document, and the names of the documents in it. */
async function read(id: string): Promise<Evidence[]> {
  const path = { id };
  const { topics } = await call(api.GET("/api/documents/{id}/explanation", { params: { path } }));
  return Promise.all(
    topics.map(async (topic) => ({
      ...topic,
      names: await Promise.all(topic.examples.map(nameOf)),
    })),
  );
}

async function nameOf(id: string): Promise<string | undefined> {
  const known = documentOf(id)?.peek().filename;
  if (known !== undefined) return known;
  const document = await call(
    api.GET("/api/documents/{id}", { params: { path: { id } } }),
  ).catch(() => null); // deleted meanwhile
  return document?.filename;
}
