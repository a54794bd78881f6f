"""What a service is told when it starts: one record, each field documented where it is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

__all__ = ["EMBEDDED", "Limits", "ProviderSettings", "Settings", "SignIn"]

_MB = 1_000_000
_DAY = 86_400.0

#: The broker that lives in the service.
EMBEDDED: Final = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much, how long."""

    #: bytes of one request's body; a batch larger than this is refused while it is read
    request_bytes: int = 256 * _MB
    #: bytes of one task's serialized arguments (the published limit)
    payload_bytes: int = 10 * _MB
    #: bytes of one function's code
    function_bytes: int = 10 * _MB
    #: bytes of one task's serialized result and exception; endpoints have a limit of their own, usually of 10 MiB
    #: (reference: wire contract section 5.7)
    result_bytes: int = 60 * _MB
    #: tasks in one submit
    submit_tasks: int = 10_000
    #: tasks that one person may have waiting, for any endpoint; 0: no limit. A person is all identities that are
    #: linked, and the clients that they made
    waiting_per_user: int = 1_000_000
    #: tasks that may wait for one endpoint, of anybody; 0: no limit
    waiting_per_endpoint: int = 5_000_000
    #: requests a second that one person may make; 0: no limit
    requests_per_s: float = 0.0
    #: requests that they may make at once, after a pause
    requests_burst: int = 200
    #: clients that one person may have; 0: no limit
    clients_per_person: int = 100
    #: personal access tokens that one person may have, not counting expired ones; 0: no limit
    tokens_per_person: int = 100
    #: groups that one person may be a manager of when they make another; 0: no limit
    groups_per_person: int = 100
    #: endpoints that one person may have registered; 0: no limit
    endpoints_per_person: int = 1_000
    #: tasks that are committed at once; submits beyond wait, and whose turn it is goes by how much each has submitted
    commit_tasks: int = 20_000
    #: bytes of results that wait in memory for one task group's clients; what comes beyond waits in the database
    group_queue_bytes: int = 16 * _MB
    #: bytes of tasks that wait in memory for one user endpoint; what comes beyond waits in the database
    endpoint_queue_bytes: int = 16 * _MB
    #: tasks that one request may ask about, or cancel
    status_tasks: int = 10_000
    #: seconds that a submit waits for a user endpoint to come up before the task is queued for it instead. Well under
    #: 60: clients give up then, and send the submit again (reference: wire contract section 8.5)
    start_wait_s: float = 20.0
    #: seconds for which a repeated submit is recognised (reference: wire contract section 3.1)
    repeat_s: float = 120.0
    #: seconds for which an endpoint that was stopped remotely may not register
    lock_s: float = 60.0
    #: seconds for which a client's queue login lets it connect; each connect asks for a new one
    client_login_s: float = 3600.0
    #: seconds for which a task and its result are kept from its end on, unless its task group says otherwise
    retention_s: float = 14 * _DAY
    #: seconds for which a task waits for its endpoint before it fails, unless its task group says otherwise
    waiting_s: float = 14 * _DAY
    #: the most that a task group may say for either, in seconds; 0: as long as anybody likes
    longest_retention_s: float = 365 * _DAY
    #: seconds between two looks for what is too old
    sweep_s: float = 3600.0
    #: seconds between two looks for user endpoints that went without a word while tasks wait for them, or a wish to
    #: cancel one
    watch_s: float = 10.0
    #: seconds for which results of a user endpoint's process that has ended are waited for, before what it had taken is
    #: run again or fails
    grace_s: float = 60.0
    #: bytes of one request's first line and headers
    head_bytes: int = 64 * 1024
    #: seconds within which a request's first line and headers must have come, from its first byte or from connecting
    head_s: float = 20.0
    #: seconds after each of which it is looked whether a body still comes, at 64 bytes a second at least
    body_s: float = 20.0
    #: connections for HTTP at once; further ones are told to come again
    connections: int = 10_000
    #: connections to the embedded broker that have not logged in, at once; each has ten seconds for it
    queue_handshakes: int = 1_000
    #: the same, of one address
    queue_handshakes_per_address: int = 200
    #: connections to the queues that one person's programs, or one endpoint, may have at once; 0: no limit
    queue_connections: int = 500
    #: seconds for which requests that are under way may go on when the service stops
    goodbye_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How long what lets people in lives, and how often they may try. All in seconds, but counts."""

    #: an access token
    access_s: float = 2 * _DAY
    #: a refresh token, from its last use
    refresh_s: float = 180 * _DAY
    #: a login in a browser
    session_s: float = 12 * 3600.0
    #: a code that goes to a program by itself
    code_s: float = 60.0
    #: a code that a person copies and pastes
    pasted_code_s: float = 300.0
    #: a code for a device: from asking for it to having confirmed it
    device_s: float = 900.0
    #: between two questions of a device whether it has been confirmed
    device_interval_s: float = 5.0
    #: a page that was opened to log in or to consent
    page_s: float = 3600.0
    #: within which tries are counted
    tries_s: float = 900.0
    #: tries with one username
    tries_per_name: int = 10
    #: tries from one address: an institution's network may be one
    tries_per_address: int = 100
    #: KiB of memory that hashing a password takes (argon2id): the more, the dearer is guessing for whoever got a copy
    #: of the database
    password_memory_kib: int = 65_536
    #: how many times it goes over that memory
    password_rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """A place elsewhere where people prove who they are: the table ``[providers.NAME]`` of the configuration file."""

    #: in addresses: small letters, digits and hyphens
    name: str
    #: what this service is called there
    client_id: str
    #: None: it has none there, and proves by PKCE alone that it is who asked
    client_secret: str | None = field(default=None, repr=False)
    #: for people; none said: the name
    title: str = ""
    #: oidc: OpenID Connect; oauth2: plain OAuth 2.0, where an API says who came; github: that, with GitHub's addresses
    kind: Literal["oidc", "oauth2", "github"] = "oidc"
    #: the provider's URL, exactly as it calls itself; with kind github it may be left out
    issuer: str = ""
    #: what is asked for; none said: openid, profile and email, or what GitHub has in their place
    scopes: tuple[str, ...] = ()
    #: where people are sent, with kind oauth2; OpenID Connect says that itself
    authorization_url: str = ""
    #: where codes are redeemed, likewise
    token_url: str = ""
    #: where it is asked who came, likewise
    userinfo_url: str = ""
    #: with kind oauth2: the claim that is somebody's for good, and never anybody else's
    subject_claim: str = "id"
    #: a claim that is a whole username with its domain, such as eppn, which this provider is trusted with; none said:
    #: the username there, and @username_domain
    username_claim: str = ""
    #: none said: the host of the issuer
    username_domain: str = ""
    #: the claim that says where somebody is employed or enrolled
    organization_claim: str = "organization"
    #: the claim that says when somebody logged in, in unix seconds
    time_claim: str = "auth_time"
    #: where nothing says when: whether whoever comes from there counts as having just logged in
    assume_fresh: bool = False
    #: values of acr that mean more than one factor
    mfa_acr: tuple[str, ...] = ("https://refeds.org/profile/mfa",)
    #: values of amr that do
    mfa_amr: tuple[str, ...] = ("mfa",)
    #: who may come: of one of these domains, by eppn, hd, or an e-mail address that the provider has verified
    allowed_domains: tuple[str, ...] = ()
    #: who may come: claims, and of each the values of which one must be there
    require: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: whether people who are not known yet may come; if not, an identity must have been linked with an account before
    sign_up: bool = True
    #: that may sign what it says
    algorithms: tuple[str, ...] = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
    #: seconds that one answer of the provider may take
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One service."""

    #: where everything is kept: database, large values, the service's secret
    data_dir: Path
    #: address to listen on, for HTTP and for the queues
    host: str = "127.0.0.1"
    #: port for HTTP; 0: a free one. 5000 is where published clients look (reference: wire contract section 1.1)
    port: int = 5000
    #: port for the queues; 0: a free one. One that is taken is stepped over
    amqp_port: int = 5672
    #: the host that others are told to reach; None: ``host``, or this machine's name when that listens everywhere
    public_host: str | None = None
    #: where records are kept: a URL for :func:`afield.service.store.factory.open_store`; None: SQLite in ``data_dir``
    database: str | None = None
    #: who carries the queues: ``embedded``, or the URL of a RabbitMQ with a login that may everything,
    #: ``amqp://user:password@host:port/vhost``
    broker: str = EMBEDDED
    #: ``amqps://host:port`` of that RabbitMQ as endpoints and clients reach it; None: as the service itself
    broker_public_url: str | None = None
    #: its management API, ``http://user:password@host:15672``; None: the same host and login, usual port
    broker_api: str | None = None
    #: how queues are kept there: ``quorum`` where it is a cluster
    queue_type: Literal["classic", "quorum"] = "classic"
    #: how peers log in there: as users that the management API makes, or with tokens of ours, for its OAuth 2 plugin
    queue_logins: Literal["management", "oauth2"] = "management"
    #: connections to PostgreSQL for reading and writing; three more speak with other services
    database_connections: int = 8
    #: True: all services that share the database share ``data_dir`` too, and keep big values there; False: in rows.
    #: Only asked where queues are elsewhere
    data_dir_is_shared: bool = False
    #: debug, info, warning or error
    log_level: str = "warning"
    #: of what is logged to stderr: text for people, or json, one object a line, for programs
    log_format: Literal["text", "json"] = "text"
    #: who may read /metrics: admin, whoever administrates the service, by token; loopback: also whoever asks from this
    #: machine, without one; nobody
    metrics: Literal["admin", "loopback", "nobody"] = "admin"
    #: how much, how long
    limits: Limits = field(default_factory=Limits)
    #: the URL by which people and programs reach the service, such as https://compute.example.org; None: as they say
    public_url: str | None = None
    #: addresses or networks (10.0.0.0/8) of load balancers, whose word is taken for where a request came from
    proxies: tuple[str, ...] = ()
    #: how long what lets people in lives
    sign_in: SignIn = field(default_factory=SignIn)
    #: other places where people may log in
    providers: tuple[ProviderSettings, ...] = ()
