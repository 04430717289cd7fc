// How files are sent, what other tabs see of it, and what the page does when something fails: on a
// running stack, servers of which are killed. To run some of them, pass --test-name-pattern.
import "./harness.mjs";
import "./uploads.mjs";
import "./sending.mjs";
import "./tabs.mjs";
import "./sessions.mjs";
import "./faults.mjs";
