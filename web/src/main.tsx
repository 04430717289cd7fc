import { render } from "preact";
import "./styles/main.css";
import { call } from "./api/client.js"; import {DocumentList} from "./documents/list.js"; import {follow} from "./documents/live.js";
import { startSession, signIn, signOut } from "./api/session.js"; import { t } from "./i18n/index.js";
console.log(call, DocumentList, follow, startSession, signIn, signOut, t);
render(<h1>x</h1>, document.body);
