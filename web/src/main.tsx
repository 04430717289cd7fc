import { render } from "preact";
import { startSession } from "./api/session.js";
import { App } from "./app.js";
import { startSync } from "./documents/sync.js";
import { startLanguage } from "./i18n/index.js";
import { startUploads } from "./uploads/queue.js";
import "./styles/main.css";

startSync();
startUploads();
await Promise.all([startLanguage(), startSession()]);
render(<App />, document.body);
