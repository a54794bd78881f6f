"""Why nobody was let in from elsewhere. PURE.

Theory. What goes wrong is somebody's doing: the person's (they declined, or may not come), the browser's (the answer is
not one that was asked for here), the provider's, or that of whoever set it up. The status says whose: 400 and 403 for
the browser and the person, 502 for what happened behind this service. The words name them, for the person can only go
and ask.
"""

from __future__ import annotations

__all__ = ["LoginFailed", "lied", "not_allowed", "set_up_wrongly", "stale", "unreachable"]


class LoginFailed(Exception):  # noqa: N818 - it is an answer
    """Told on a page.

    :param message: what happened, whose fault it is, what next
    :param status: of HTTP
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        # It quotes what others wrote, and goes into logs, too.
        self.message = "".join(each for each in message if each.isprintable())
        self.status = status


def stale(what: str) -> LoginFailed:
    """The browser brings an answer to nothing that was asked.

    :param what: a sentence
    """
    return LoginFailed(f"{what} You are not logged in by it. Start the login again, in one window.", 400)


def not_allowed(what: str) -> LoginFailed:
    """The provider was fine; the person may not.

    :param what: sentences that end with what next
    """
    return LoginFailed(what, 403)


def lied(title: str, what: str) -> LoginFailed:
    """What a provider says cannot be taken for true.

    :param what: goes on behind "Its answer"
    """
    return LoginFailed(
        f"{title} sent you back, but nobody can be let in by that: its answer {what}. That is not your fault. Tell "
        f"whoever runs this service, or log in another way.",
        502,
    )


def unreachable(title: str, what: str) -> LoginFailed:
    """A provider did not answer, or with an error of its own.

    :param what: goes on behind its name
    """
    return LoginFailed(
        f"{title} {what}. Neither you nor this service can do anything about that. Try again in a while, or log in "
        "another way.",
        502,
    )


def set_up_wrongly(title: str, what: str) -> LoginFailed:
    """The provider does not let this service ask.

    :param what: goes on behind its name
    """
    return LoginFailed(
        f"{title} {what}. This service is not set up there as it should be: tell whoever runs this service, and log in "
        "another way.",
        502,
    )
