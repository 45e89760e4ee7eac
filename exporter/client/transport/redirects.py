"""Redirects: followed at the server that the credentials are meant for, and nowhere else."""

from __future__ import annotations

import httpx

from exporter.client.errors import ContractBroken, Intercepted
from exporter.client.interception import is_login
from exporter.tasks import Cause


def onward(request: httpx.Request, response: httpx.Response) -> httpx.Request | None:
    """The request that a response redirects to; None if it is no redirect. Raises ContractBroken for a bad one,
    Intercepted for one to a login page elsewhere.
    """
    if not response.has_redirect_location:
        return None
    try:
        url = request.url.join(response.headers["Location"])
    except httpx.InvalidURL:
        raise ContractBroken("the vendor redirects to what is no URL", cause=Cause.WRONG_URL) from None
    if not _same_server(request.url, url):
        if url.host != request.url.host and is_login(url):
            raise Intercepted("a proxy or login page answered instead of the vendor: it redirects to another host")
        told = "the vendor redirects to another host or port, or to plain HTTP; check base_url"
        raise ContractBroken(told, cause=Cause.WRONG_URL)
    headers = httpx.Headers(request.headers)
    del headers["Host"]  # the port may have changed; the new request sets its own
    if not _becomes_get(request.method, response.status_code):
        return httpx.Request(request.method, url, headers=headers, content=request.content)
    for name in ("Content-Length", "Content-Type"):
        headers.pop(name, None)
    return httpx.Request("GET", url, headers=headers)


def _same_server(before: httpx.URL, after: httpx.URL) -> bool:
    """Whether it is the same host, scheme and port, or the step from HTTP to HTTPS on their usual ports."""
    same = (after.scheme, after.port) == (before.scheme, before.port)
    secured = (before.scheme, before.port, after.scheme, after.port) == ("http", None, "https", None)
    return after.host == before.host and (same or secured)


def _becomes_get(method: str, status: int) -> bool:
    """As all clients do it, against what RFC 9110 says of 302 (15.4.3)."""
    return status in (302, 303) or (status == 301 and method == "POST")
