import { render } from "preact";
import { startSession } from "./api/session.js";
import { App } from "./app.js";
import { startSync } from "./documents/sync.js";
import { startLanguage, t } from "./i18n/index.js";
import { startUploads } from "./uploads/queue.js";
import "./styles/main.css";

// This is not awaited: modules that are loaded meanwhile import from the file that this one is in,
// and would wait for its end.
void start();

async function start(): Promise<void> {
  // While the server does not answer, the page is not empty for long.
  const waiting = setTimeout(() => {
    render(<main class="blank">{t("loading")}</main>, document.body);
  }, 1000);
  await startLanguage();
  if (isSecureContext) {
    startSync();
    startUploads();
    await startSession();
  }
  clearTimeout(waiting);
  // Browsers have neither locks between tabs nor digests for addresses that are not secure.
  const content = isSecureContext ? <App /> : <main class="blank">{t("insecure")}</main>;
  render(content, document.body);
}
