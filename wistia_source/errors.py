"""Errors, named by what the caller can do about them. Every message is one sentence that says it."""


class WistiaError(Exception):
    """Anything that the source stops for; the message is meant for the person who runs it."""


class SettingInvalid(WistiaError):
    """A setting has a value that cannot work: correct it."""


class CredentialsRejected(WistiaError):
    """401: the token is not accepted: replace it."""


class PermissionMissing(WistiaError):
    """401 `unauthorized_scope`: the token lacks a permission: tick it."""


class Unreachable(WistiaError):
    """No connection to the host, after retries."""


class ResourceLost(WistiaError):
    """What costs one resource, or one of its parents: it is reported, the others go on."""


class PlanLacksFeature(ResourceLost):
    """403: the account's plan does not include what was asked for."""


class RequestFailed(ResourceLost):
    """One request failed for good."""


class NotFound(RequestFailed):
    """404: there is no such media, project, visitor, event or endpoint."""


class RowUnusable(ResourceLost):
    """A value does not fit its declared type, or a key is missing: the API has changed."""
