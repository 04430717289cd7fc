// All tests of the page, on one running stack. To run some of them, pass --test-name-pattern.
import "./harness.mjs";
import "./administration.mjs";
import "./oidc.mjs";
import "./serving.mjs";
import "./inline.mjs";
import "./origin.mjs";
import "./uploads.mjs";
import "./scenarios.mjs";
import "./sending.mjs";
import "./views.mjs";
import "./tabs.mjs";
import "./sessions.mjs";
import "./faults.mjs";
import "./keyboard.mjs";
import "./list.mjs";
import "./selection.mjs";
import "./accessibility.mjs";
