// A certified OpenID provider with people who log in by saying who they are. Its options come as JSON on the command
// line; what it says on stdout is one line, once it can be asked.
import { createServer } from "node:http";

import Provider from "oidc-provider";

const { port, jwks, client } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;

const people = {
  ada: { preferred_username: "ada", name: "Ada of Elsewhere", email: "ada@lab.example.org", email_verified: true },
  bob: { preferred_username: "bob", name: "Bob", email: "bob@other.example", email_verified: true },
  eve: { preferred_username: "eve", name: "Eve", email: "eve@lab.example.org", email_verified: false },
};

const provider = new Provider(issuer, {
  jwks,
  clients: [client],
  cookies: { keys: ["of these tests"] },
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email", "email_verified"], amr: null, acr: null },
  acrValues: ["https://refeds.org/profile/mfa"],
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
});

async function fields(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()));
}

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html");
    response.end(`<form method="post" action="${request.url}"><h1>${details.prompt.name}</h1>
      <p>${JSON.stringify(details.params)}</p><input name="who"><button>Log in</button></form>`);
    return;
  }
  const { who, mfa, error } = await fields(request);
  if (error) {
    const result = { error, error_description: "Somebody said no." };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  const accountId = who || details.session.accountId;
  const grant = new provider.Grant({ accountId, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  const result = { consent: { grantId: await grant.save() } };
  if (details.prompt.name === "login") {
    result.login = { accountId, ...(mfa && { acr: "https://refeds.org/profile/mfa", amr: ["pwd", "mfa"] }) };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  return interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
}).listen(port, "127.0.0.1", () => console.log("ready"));
