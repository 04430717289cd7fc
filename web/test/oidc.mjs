// Signing in with an OpenID Connect provider.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after } from "node:test";

import { freePort } from "../../docs/examples/stack.mjs";
import { axe, openPage, running, scenario, until } from "./harness.mjs";
import { startIssuer } from "./issuer.mjs";

const client = "intray-page";
let issuer;
let idTokens; // the address of an API that accepts the issuer's ID tokens
let accessTokens; // the address of an API that accepts its access tokens for that API
const children = [];

let started;

// Starts the issuer and the APIs for the first of the tests.
async function start() {
  const [port, first, second] = await Promise.all([freePort(), freePort(), freePort()]);
  idTokens = `http://127.0.0.1:${first}`;
  accessTokens = `http://127.0.0.1:${second}`;
  issuer = await startIssuer({ port, client, origins: [idTokens, accessTokens] });
  await Promise.all([startAPI(idTokens, client), startAPI(accessTokens, "https://intray.example")]);
}

after(async () => {
  for (const child of children) child.kill("SIGTERM");
  issuer?.close();
});

// Starts another API of the stack, which accepts tokens of the issuer for the audience.
async function startAPI(url, audience) {
  const variables = readFileSync(`/proc/${running.stack.pids.api}/environ`, "utf8").split("\0");
  const environment = Object.fromEntries(variables.filter(Boolean).map((v) => v.split(/=(.*)/s)));
  const child = spawn(process.env.INTRAY, ["api"], {
    env: {
      ...environment,
      LISTEN: url.slice("http://".length),
      METRICS_LISTEN: `127.0.0.1:${await freePort()}`,
      OIDC_ISSUER: issuer.url,
      OIDC_AUDIENCE: audience,
      OIDC_CLIENT_ID: client,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  children.push(child);
  await until("the API", () => fetch(`${url}/readyz`).then((r) => r.ok, () => false));
}

// Adds a test that begins with a page and without a session at the issuer.
function oidcScenario(name, run, { url = () => idTokens, address = "/account?x=1" } = {}) {
  scenario(name, async (t) => {
    await (started ??= start());
    Object.assign(issuer, { user: null, denies: false, lifetime: 3600, refreshes: false });
    Object.assign(issuer, { nonce: null, tokenEndpoint: null, requests: [] });
    await run(await openPage(t, { url: url() + address }), t);
  });
}

const button = (page) => page.getByRole("button", { name: /^Sign in with/ });
const signedIn = (page) => page.getByRole("main").getByText("carol@issuer.example").waitFor();
const requested = (endpoint) => issuer.requests.filter((each) => each.endpoint === endpoint);
const addressOf = (page) => page.url().slice(new URL(page.url()).origin.length);

oidcScenario("a sign-in with the provider returns to where the user was", async (page) => {
  await button(page).click();
  await signedIn(page);
  assert.equal(addressOf(page), "/account?x=1");
  const [asked] = requested("authorize");
  const { code_verifier: verifier } = requested("token")[0];
  assert.equal(asked.code_challenge_method, "S256");
  assert.notEqual(asked.code_challenge, verifier);
  assert.equal(asked.scope, "openid email");
  assert.equal(asked.audience, undefined);
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.doesNotMatch(kept, /eyJ|nonce|verifier/, "nothing secret outlives the sign-in");
  await axe(page);
});

oidcScenario(
  "if the audience is not the client, the page asks for an access token for it",
  async (page) => {
    await button(page).click();
    await signedIn(page);
    for (const { audience, resource } of issuer.requests) {
      assert.deepEqual({ audience, resource }, {
        audience: "https://intray.example",
        resource: "https://intray.example",
      });
    }
  },
  { url: () => accessTokens },
);

oidcScenario("a reload continues the provider's session, and a second tab the first's", async (page) => {
  await button(page).click();
  await signedIn(page);
  issuer.requests = [];
  await page.reload();
  await signedIn(page);
  assert.equal(addressOf(page), "/account?x=1");
  assert.deepEqual(requested("authorize").map(({ prompt }) => prompt), ["none"]);

  const tab = await page.context().newPage();
  await tab.goto(page.url());
  await signedIn(tab);
  assert.equal(requested("authorize").length, 1, "requests after the second tab was opened");
  await tab.close();

  issuer.user = null;
  issuer.requests = [];
  await page.reload();
  await button(page).waitFor();
  assert.equal(addressOf(page), "/account?x=1");
  assert.equal(await page.getByRole("alert").count(), 0);
  await page.reload();
  await button(page).waitFor();
  assert.equal(requested("authorize").length, 1, "requests of a visitor without a session");
});

oidcScenario("the form shows that the provider has refused the sign-in", async (page) => {
  issuer.denies = true;
  await button(page).click();
  await page.getByRole("alert").getByText("did not sign you in").waitFor();
  assert.equal(addressOf(page), "/account?x=1");
  await axe(page);
  issuer.denies = false;
  await button(page).click();
  await signedIn(page);
});

oidcScenario("a response that this tab has not asked for is not redeemed", async (page) => {
  const asked = page.waitForRequest(`${issuer.url}/authorize*`);
  await page.route(`${issuer.url}/authorize*`, (route) => route.abort());
  await button(page).click();
  await asked;
  await page.goto(`${idTokens}/?code=stolen&state=other`);
  await button(page).waitFor();
  assert.equal(addressOf(page), "/");
  assert.deepEqual(requested("token"), []);
});

oidcScenario("an ID token of another sign-in is not accepted", async (page) => {
  issuer.nonce = "other";
  await button(page).click();
  await page.getByRole("alert").getByText("failed").waitFor();
  assert.equal(requested("token").length, 1);
});

oidcScenario("a token endpoint with another origin than the issuer is explained", async (page) => {
  issuer.tokenEndpoint = "https://tokens.example/token";
  await button(page).click();
  await page.getByRole("alert").getByText("its token endpoint has another origin").waitFor();
  assert.deepEqual(requested("authorize"), []);
});

oidcScenario("refresh tokens are used once, by one of the tabs", async (page) => {
  Object.assign(issuer, { lifetime: 4, refreshes: true });
  await button(page).click();
  await signedIn(page);
  const tab = await page.context().newPage();
  await tab.goto(page.url());
  await signedIn(tab);
  const refreshes = () => requested("token").filter((each) => each.grant_type === "refresh_token");
  await until("two refreshes", () => refreshes().length >= 2);
  const used = refreshes().map((each) => each.refresh_token);
  assert.equal(new Set(used).size, used.length);
  for (const each of [page, tab]) {
    await signedIn(each);
    assert.equal(await button(each).count(), 0);
  }
});

oidcScenario("without a refresh token, the user signs in again where they were", async (page) => {
  issuer.lifetime = 3;
  await button(page).click();
  await signedIn(page);
  await page.getByText("Your session has ended").waitFor();
  await axe(page);
  issuer.lifetime = 3600;
  await button(page).click();
  await page.getByText("Your session has ended").waitFor({ state: "detached" });
  await signedIn(page);
  assert.equal(addressOf(page), "/account?x=1");
});
