// A certified OpenID provider, with people who log in by saying who they are. It says on which port it is asked. Each
// line on stdin, as JSON, sets it up anew: its keys, and the one program that may ask. It says "ready" then.
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import Provider from "oidc-provider";

const people = {
  ada: { preferred_username: "ada", name: "Ada of Elsewhere", email: "ada@lab.example.org", email_verified: true },
  bob: { preferred_username: "bob", name: "Bob", email: "bob@other.example", email_verified: true },
};
const manyFactors = "https://refeds.org/profile/mfa";

let issuer, provider;

function setUp({ jwks, client }) {
  provider = new Provider(issuer, {
    jwks,
    clients: [client],
    cookies: { keys: ["of these tests"] },
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    claims: {
      openid: ["sub"],
      profile: ["preferred_username", "name"],
      email: ["email", "email_verified"],
      acr: null,
      amr: null,
    },
    acrValues: [manyFactors],
    findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  });
}

async function fields(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()));
}

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html");
    response.end(`<form method="post" action="${request.url}"><h1>Elsewhere: ${prompt.name}</h1><input name="who"></form>`);
    return;
  }
  const { who, factors, error } = await fields(request);
  if (error) {
    const result = { error, error_description: "Somebody said no" };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  const accountId = who || session.accountId;
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { consent: { grantId: await grant.save() } };
  if (prompt.name === "login") {
    result.login = { accountId, ...(factors && { acr: manyFactors, amr: ["pwd", "mfa"] }) };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const server = createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return provider.callback()(request, response);
  return interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(issuer);
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      setUp(JSON.parse(line));
      console.log("ready");
    })
    .on("close", () => process.exit(0));
});
