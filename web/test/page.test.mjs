// What people see and do on the page, on a running stack. To run some of the tests, pass
// --test-name-pattern.
import "./harness.mjs";
import "./administration.mjs";
import "./oidc.mjs";
import "./serving.mjs";
import "./inline.mjs";
import "./origin.mjs";
import "./scenarios.mjs";
import "./views.mjs";
import "./keyboard.mjs";
import "./list.mjs";
import "./selection.mjs";
import "./accessibility.mjs";
