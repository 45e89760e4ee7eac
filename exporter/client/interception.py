"""Who answers instead of the vendor: a CDN, a firewall (WAF), a proxy or a login page.

Vendors answer JSON. What is JSON is theirs, but for what a CDN marks as its own; a page is somebody else's, but for
those with which a gateway in front of the vendor says that the vendor is down (5xx), asks for patience (429) or does
not know the path (404). A page with a sign of a challenge or a block is never the vendor's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

LOOKED_AT = 4096
"""Bytes at the start of a body that are looked at."""

_BY_HEADER: tuple[tuple[str, str, str], ...] = (
    ("cf-mitigated", "", "Cloudflare"),
    ("x-amzn-waf-action", "", "AWS WAF"),
    ("x-vercel-mitigated", "", "Vercel's firewall"),
    ("x-squid-error", "", "the proxy Squid"),
    ("x-datadome", "", "DataDome"),
    ("cf-ray", "", "Cloudflare"),
    ("x-iinfo", "", "Imperva"),
    ("x-sucuri-id", "", "Sucuri"),
    ("x-akamai-request-id", "", "Akamai"),
    ("eagleeye-traceid", "", "Aliyun"),
    ("x-amz-cf-id", "", "Amazon CloudFront"),
    ("server", "cloudflare", "Cloudflare"),
    ("server", "cloudfront", "Amazon CloudFront"),
    ("server", "awselb", "an AWS load balancer"),
    ("server", "akamai", "Akamai"),
    ("server", "cloudwaf", "Huawei Cloud WAF"),
    ("server", "edgeone", "Tencent EdgeOne"),
    ("server", "stgw", "Tencent's gateway"),
    ("server", "sucuri", "Sucuri"),
    ("server", "zscaler", "Zscaler"),
    ("server", "squid", "the proxy Squid"),
    ("server", "yunjiasu", "Baidu Yunjiasu"),
    ("server", "bigip", "F5 BIG-IP"),
    ("server", "tengine", "Tengine (Aliyun)"),
    ("via", "zscaler", "Zscaler"),
    ("via", "squid", "the proxy Squid"),
    ("server", "nginx", "nginx"),
    ("server", "apache", "Apache"),
    ("server", "envoy", "Envoy"),
)
"""A header, what it holds, and who sets it; the first that fits."""

_BY_BODY: tuple[tuple[str, str], ...] = (
    ("zscaler", "Zscaler"),
    ("fortinet", "Fortinet"),
    ("fortigu", "Fortinet"),
    ("captcha-delivery.com", "DataDome"),
    ("incapsula", "Imperva"),
    ("cloudflare", "Cloudflare"),
    ("cdn-cgi", "Cloudflare"),
    ("cloudfront", "Amazon CloudFront"),
    ("edgesuite.net", "Akamai"),
    ("errors.aliyun.com", "Aliyun WAF"),
    ("web 应用防火墙", "Aliyun WAF"),
    ("support id is", "F5 BIG-IP"),
    ("squid", "the proxy Squid"),
    ("nginx", "nginx"),
)
"""Words of a page in small letters, and whose page it is."""

_MITIGATED = ("cf-mitigated", "x-amzn-waf-action", "x-vercel-mitigated", "x-squid-error")
"""Headers that only a block or a challenge has."""

_BLOCKS = (
    "just a moment...",
    "attention required! | cloudflare",
    "sorry, you have been blocked",
    "checking your browser",
    "enable javascript and cookies to continue",
    "cf-chl",
    "challenge-platform",
    "captcha",
    "request blocked",
    "web page blocked",
    "access denied",
    "the requested url was rejected",
    "request unsuccessful. incapsula",
    "网站防火墙",
    "web 应用防火墙",
    "疑似攻击",
    "安全威胁",
)
"""Words in small letters of a page that blocks or challenges, whatever its status is."""

_OWN_JSON = ('"cloudflare_error":true', "captcha-delivery.com", '"rgv587_flag"', '"appid":"px')
"""What marks JSON that is not the vendor's, in small letters and without blanks."""

_CLOUDFLARE_CODE = re.compile(r"error code: ([0-9]{3,4})\s*")
_STATUSES = frozenset((403, 405, 406, 418, 451))
"""Refusals that a page or a bare word speaks for somebody else than the vendor."""
_LOGIN = re.compile(
    r"(?:\b|_)(?:log-?in|sign-?in|log-?on|sso|saml|oauth2?|cas|captive|portal|hotspot|guest|zscaler|block(?:ed|page)?|den(?:y|ied)|challenge|verify|captcha|auth)(?:\b|_)",
    re.IGNORECASE,
)


def interceptor(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """Who answered instead of the vendor, in words; None where it was the vendor, or its own gateway."""
    looked_at = body[:LOOKED_AT]
    if looked_at[:1] in (b"{", b"[") and not _has_a_mark(looked_at.lower()):
        return None
    coding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = looked_at.decode(coding, "replace").lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")):
        packed = "".join(text.lower().split())
        return _named(headers, packed) if any(sign in packed for sign in _OWN_JSON) else None
    lowered = text.lower()
    if code := _CLOUDFLARE_CODE.fullmatch(text):
        return f"Cloudflare (its code {code[1]})" if status in _STATUSES | {200, 400, 401} else None
    if not _is_foreign(status, headers, lowered):
        return None
    return _named(headers, lowered)


def _has_a_mark(body: bytes) -> bool:
    """Whether a mark of `_OWN_JSON` may be in a body. In one expression, since each answer of a vendor gets here."""
    return b"cloudflare" in body or b"captcha-delivery" in body or b"rgv587" in body or b'"appid"' in body


def _is_foreign(status: int, headers: Mapping[str, str], text: str) -> bool:
    is_page = text.startswith("<")
    if status in (511, 566, 567) or any(name in headers for name in _MITIGATED):
        return True
    if status == 429:
        return False
    if is_page and any(words in text for words in _BLOCKS):
        return True
    if status == 401:
        return is_page or headers.get("www-authenticate", "").lower().startswith(
            ("basic", "negotiate", "ntlm", "digest")
        )
    if status in _STATUSES:
        return is_page or status in (418, 451) or "rbac: access denied" in text
    return is_page and status < 400


def _named(headers: Mapping[str, str], text: str) -> str:
    by_header = (who for name, word, who in _BY_HEADER if name in headers and word in headers[name].lower())
    by_body = (who for words, who in _BY_BODY if words in text)
    return next(by_header, None) or next(by_body, None) or "a firewall, proxy or login page"


def is_login(url: httpx.URL) -> bool:
    """Whether a redirect to another host leads to a login or a page that blocks, by the words of its address."""
    return bool(_LOGIN.search(f"{url.host}{url.path}"[:LOOKED_AT]))
