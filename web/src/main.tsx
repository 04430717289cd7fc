import { render } from "preact";

import "./main.css";

render(<h1>Intray</h1>, document.body);
