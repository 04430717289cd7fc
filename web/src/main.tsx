import { render } from "preact";
import { startSession } from "./api/session.js";
import { App } from "./app.js";
import { startSync } from "./documents/sync.js";
import { startLanguage, t } from "./i18n/index.js";
import { startUploads } from "./uploads/queue.js";
import "./styles/main.css";

await startLanguage();
if (isSecureContext) {
  startSync();
  startUploads();
  await startSession();
  render(<App />, document.body);
} else {
  // Browsers have neither locks between tabs nor digests for such addresses.
  render(<main class="blank">{t("insecure")}</main>, document.body);
}
