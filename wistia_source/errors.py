"""Errors, named by what the caller can do about them. Every message is one sentence that says it."""

from __future__ import annotations


class WistiaError(Exception):
    """Anything that the source stops for; the message is meant for the person who runs it."""


class SettingInvalid(WistiaError):
    """A setting has a value that cannot work: correct it."""


class CredentialsRejected(WistiaError):
    """401: the token is not accepted: replace it."""


class PermissionMissing(WistiaError):
    """401 `unauthorized_scope`: the token lacks a permission: tick it."""


class PlanLacksFeature(WistiaError):
    """403: the account's plan does not include what was asked for."""


class Unreachable(WistiaError):
    """No connection to the host, after retries."""


class RequestFailed(WistiaError):
    """One request failed for good: the parent it was for is reported, the others go on."""


class NotFound(RequestFailed):
    """404: there is no such media, project, visitor, event or endpoint."""


class RowUnusable(WistiaError):
    """A value does not fit its declared type, or a key is missing: the API has changed."""
