// An OpenID Connect provider for tests. It has the endpoints that the page uses, one client, and at
// most one session, which a test begins and ends by setting `user`.
import { createHash, createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function sign(claims) {
  const content = `${encode({ alg: "RS256", kid: "1" })}.${encode(claims)}`;
  return `${content}.${createSign("RSA-SHA256").update(content).sign(privateKey, "base64url")}`;
}

/**
 * Starts a provider at the port, for pages at the origins. In what it returns,
 *   user is who has a session at the provider, or null;
 *   denies, whether the user refuses the sign-in;
 *   lifetime, of tokens, in seconds;
 *   refreshes, whether it issues refresh tokens, each of which can be used once;
 *   nonce, what ID tokens have instead of the nonce that was asked for;
 *   tokenEndpoint, what the discovery document says instead of the issuer's own;
 *   requests, the parameters of each request of both endpoints.
 */
export async function startIssuer({ port, client, origins }) {
  const url = `http://127.0.0.1:${port}`;
  const issuer = {
    url,
    user: null,
    denies: false,
    lifetime: 3600,
    refreshes: false,
    nonce: null,
    tokenEndpoint: null,
    requests: [],
    close: () => server.close(),
  };
  const codes = new Map(); // to the request and the user
  const refreshTokens = new Map(); // to the user

  const authorize = (asked, response) => {
    issuer.requests.push({ endpoint: "authorize", ...asked });
    const silent = asked.prompt === "none";
    const back = new URL(asked.redirect_uri);
    if (!origins.includes(back.origin) || asked.client_id !== client) return response.writeHead(400).end();
    back.searchParams.set("state", asked.state);
    back.searchParams.set("iss", url);
    if (issuer.denies) back.searchParams.set("error", "access_denied");
    else if (silent && !issuer.user) back.searchParams.set("error", "login_required");
    else {
      issuer.user ??= "carol"; // who has just entered her password
      const code = randomUUID();
      codes.set(code, { asked, user: issuer.user });
      back.searchParams.set("code", code);
    }
    return response.writeHead(302, { Location: back.href }).end();
  };

  const grant = (user, asked, nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const refresh = issuer.refreshes ? randomUUID() : undefined;
    if (refresh) refreshTokens.set(refresh, user);
    const claims = {
      iss: url,
      sub: user,
      iat: now,
      exp: now + issuer.lifetime,
      email: `${user}@issuer.example`,
      email_verified: true,
    };
    return {
      token_type: "Bearer",
      expires_in: issuer.lifetime,
      access_token: sign({ ...claims, aud: asked.audience ?? url }),
      id_token: sign({ ...claims, aud: client, nonce: issuer.nonce ?? nonce }),
      refresh_token: refresh,
    };
  };

  const token = (asked) => {
    issuer.requests.push({ endpoint: "token", ...asked });
    if (asked.grant_type === "refresh_token") {
      const user = refreshTokens.get(asked.refresh_token);
      refreshTokens.delete(asked.refresh_token);
      return user ? grant(user, asked) : null;
    }
    const found = codes.get(asked.code);
    codes.delete(asked.code);
    const challenge = createHash("sha256").update(asked.code_verifier).digest("base64url");
    const valid =
      found?.asked.code_challenge_method === "S256" &&
      found.asked.code_challenge === challenge &&
      found.asked.redirect_uri === asked.redirect_uri;
    return valid ? grant(found.user, asked, found.asked.nonce) : null;
  };

  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, url);
    const { origin } = request.headers;
    if (origins.includes(origin)) response.setHeader("Access-Control-Allow-Origin", origin);
    const json = (status, body) =>
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    switch (pathname) {
      case "/.well-known/openid-configuration":
        return json(200, {
          issuer: url,
          authorization_endpoint: `${url}/authorize`,
          token_endpoint: issuer.tokenEndpoint ?? `${url}/token`,
          jwks_uri: `${url}/keys`,
          id_token_signing_alg_values_supported: ["RS256"],
        });
      case "/keys":
        return json(200, {
          keys: [{ ...publicKey.export({ format: "jwk" }), kid: "1", alg: "RS256", use: "sig" }],
        });
      case "/authorize":
        return authorize(Object.fromEntries(searchParams), response);
      case "/token": {
        const body = Buffer.concat(await request.toArray()).toString();
        const granted = token(Object.fromEntries(new URLSearchParams(body)));
        return granted ? json(200, granted) : json(400, { error: "invalid_grant" });
      }
      default:
        return response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return issuer;
}
