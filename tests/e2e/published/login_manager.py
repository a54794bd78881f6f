"""A login manager of one's own, which has tokens already."""

import os
import sys

import globus_sdk
from globus_compute_sdk import Client
from globus_compute_sdk.sdk.login_manager import LoginManager as Published
from globus_compute_sdk.sdk.web_client import WebClient
from globus_sdk.scopes import AuthScopes

assert Published


class LoginManager:
    def __init__(self, authorizers):
        self.authorizers = authorizers

    def get_auth_client(self) -> globus_sdk.AuthClient:
        return globus_sdk.AuthClient(authorizer=self.authorizers[AuthScopes.openid])

    def get_web_client(self, *, base_url: str) -> WebClient:
        return WebClient(base_url=base_url, authorizer=self.authorizers[Client.FUNCX_SCOPE])

    def ensure_logged_in(self):
        return True

    def logout(self):
        print("logout cannot be invoked from here!")


compute_auth = globus_sdk.AccessTokenAuthorizer(os.environ["COMPUTE_TOKEN"])
openid_auth = globus_sdk.AccessTokenAuthorizer("not asked for")
compute_login_manager = LoginManager(authorizers={Client.FUNCX_SCOPE: compute_auth, AuthScopes.openid: openid_auth})

fx = Client(login_manager=compute_login_manager)
assert sys.argv[1] in [endpoint["uuid"] for endpoint in fx.get_endpoints()]
print("done")
