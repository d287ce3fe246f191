"""Turns failed responses that no retry would change into errors that say what to do."""

from __future__ import annotations

from typing import Any

import orjson
import requests

from .errors import CredentialsRejected, NotFound, PermissionMissing, PlanLacksFeature, RequestFailed


def message_of(response: requests.Response) -> str:
    """What the body says of an error, as `: text`, or nothing."""
    text = _body(response).get("error")
    token = str(response.request.headers.get("Authorization", "")).removeprefix("Bearer ")
    said = str(text).replace(token, "***") if token else str(text)
    return f": {' '.join(said.split())[:300]}" if text else ""


def rejection(response: requests.Response, permission: str) -> Exception:
    """The error for a status of 3xx or 4xx, with what to do about it."""
    status, message = response.status_code, message_of(response)
    if status < 400:
        return RequestFailed(
            f"Wistia does not answer {_place(response)} but sends us elsewhere (HTTP {status}); check base_url."
        )
    if status == 401:
        code = _body(response).get("code")
        # a missing permission is a 401, not a 403 (observed)
        if code == "unauthorized_scope":
            return PermissionMissing(
                f"The access token lacks {f'the permission {permission!r}' if permission else 'a permission'}; tick it "
                "in Wistia's account settings, API access, or make a new token with it."
            )
        if code == "account_inactive":
            return CredentialsRejected("The Wistia account of this access token is inactive; use another token.")
        return CredentialsRejected(
            f"Wistia does not accept the access token (HTTP 401{message}); set SOURCES__WISTIA__ACCESS_TOKEN to a "
            "token made in Wistia's account settings, API access."
        )
    if status == 403:
        return PlanLacksFeature(
            f"Wistia refuses {_place(response)} (HTTP 403{message}); ask Wistia for a plan with the Stats API, or "
            "leave these resources out with --select."
        )
    if status == 404:
        return NotFound(f"{_place(response)} is not there (HTTP 404).")
    return RequestFailed(f"Wistia refuses {_place(response)} (HTTP {status}{message}).")


def _body(response: requests.Response) -> dict[str, Any]:
    """The object in a body; bodies may be empty, text or HTML, too."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _place(response: requests.Response) -> str:
    return str(response.url).partition("?")[0].partition("://")[2].partition("/")[2]
