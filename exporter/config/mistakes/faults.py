"""What is wrong with a setting, in words: what was written, what is allowed, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from exporter.config.files.document import ConfigDocument, KeyPath
from exporter.config.mistakes import slips
from exporter.config.models import ProviderSettings, Settings
from exporter.config.vendors.types import VendorDeclaration, Vendors

_OTHER_WORDS = {
    **dict.fromkeys(("interval", "scrapeinterval", "refresh", "frequency", "every"), "poll_interval"),
    **dict.fromkeys(("url", "endpoint", "host", "apiurl", "apibase", "server", "address", "baseuri"), "base_url"),
    **dict.fromkeys(("scrapetimeout", "deadline", "connecttimeout"), "request_timeout"),
    **dict.fromkeys(("ratelimits", "qps", "rps", "limitrate", "throttle"), "rate_limit"),
    **dict.fromkeys(("apitoken", "key", "apisecret", "token", "accesstoken", "bearertoken"), "api_key"),
    **dict.fromkeys(("vendor", "kind", "provider"), "type"),
    **dict.fromkeys(("id", "label", "title"), "name"),
    **dict.fromkeys(("accounts", "targets", "jobs"), "providers"),
    **dict.fromkeys(("accountfiles", "providerfile", "providersfiles", "providersd", "include"), "provider_files"),
    **dict.fromkeys(("kinds", "endpoints"), "feeds"),
    **dict.fromkeys(("ak", "accesskeyid"), "access_key"),
    **dict.fromkeys(("sk", "secretaccesskey", "appsecret"), "secret_key"),
    **dict.fromkeys(
        ("verify", "tls", "tlsconfig", "insecure", "insecureskipverify", "verifyssl", "sslverify"), "ca_file"
    ),
    **dict.fromkeys(("ca", "cacert", "cabundle", "sslcertfile", "certificate", "cafiles"), "ca_file"),
    **dict.fromkeys(("authentication", "authenticator", "authorization"), "auth"),
    **dict.fromkeys(("items", "records", "results", "data", "selector"), "rows"),
    **dict.fromkeys(("filter", "filters", "condition"), "where"),
    **dict.fromkeys(("pagination", "paginator", "pages"), "paging"),
    **dict.fromkeys(("params", "parameters", "querystring"), "query"),
    **dict.fromkeys(("body", "payload", "requestbody"), "json"),
    **dict.fromkeys(("taskid", "jobid", "uuid"), "id"),
    **dict.fromkeys(("status",), "state"),
    **dict.fromkeys(("statuses", "statusmap", "statemap"), "states"),
    **dict.fromkeys(("errors", "codes", "errorcodes", "failures"), "reasons"),
    **dict.fromkeys(("created", "createdat", "createtime", "submittedat", "queued"), "submitted"),
    **dict.fromkeys(("startedat", "starttime", "begun"), "started"),
    **dict.fromkeys(("endedat", "endtime", "finished", "finishedat", "completed", "completedat"), "ended"),
    **dict.fromkeys(("duration", "length", "seconds"), "output"),
    **dict.fromkeys(("message", "error", "msg", "errormessage"), "text"),
    **dict.fromkeys(("cost", "credits", "consumed"), "usage"),
    **dict.fromkeys(("percent", "percentage"), "progress"),
    **dict.fromkeys(("proxyurl", "noproxy", "allproxy", "socks"), "proxy"),
    **dict.fromkeys(("database", "db", "storage", "file"), "path"),
    **dict.fromkeys(("dsn", "databaseurl", "connection", "connectionstring", "postgresql", "postgres", "uri"), "url"),
    **dict.fromkeys(("pass", "passwd", "pwd", "pgpassword"), "password"),
    **dict.fromkeys(("leaseduration", "leasetime", "leasettl", "ttl"), "lease"),
    **dict.fromkeys(("replicaname", "instance", "instancename", "hostname", "nodename"), "replica"),
}
"""What other programs call a setting, without case, hyphens and underscores."""

_OF_THE_FILE = ("providers", "provider_files", "ledger", "log", "replica")
"""Settings that stand beside the providers, in no provider."""

OF_THE_KEY = "[key]"
"""The last step to a fault of a key itself, not of what it holds."""

_FLAGS = ("web.", "web_", "log.format", "listen", "port", "config.")

_VALUE_FAULTS = re.compile(r"not |no |neither |(an )?unknown(?! key)|too (small|large|short|slow)|longer than")
"""How words begin before which the value that was written makes a sentence."""


def note_faults(
    document: ConfigDocument,
    error: ValidationError,
    base: KeyPath,
    model: type[Settings],
    vendors: Vendors | None = None,
) -> None:
    """Notes in the document what is wrong with the part of it at a key, which is no such model."""
    for detail in error.errors(include_url=False, include_input=False):
        note_fault(document, detail, base, model, vendors)


def note_fault(
    document: ConfigDocument, detail: ErrorDetails, base: KeyPath, model: type[Settings], vendors: Vendors | None = None
) -> None:
    """Notes one of these faults."""
    path = base
    for step in detail["loc"]:
        # One may stand for a list of one: then the document has no such place.
        if step != OF_THE_KEY and not (isinstance(step, int) and not document.has((*path, step))):
            path = (*path, step)
    if detail["type"] == "setting" and (key := detail["ctx"].get("key")):
        path = (*path, str(key))
    twin = (*path[:-1], f"{path[-1]}_file") if path else path
    if not document.has(path) and document.has(twin):
        path = twin
    if detail["type"] == "too_short" and document.has((*path, 0)):
        return  # it is only empty without what is wrong in it
    if document.has_told_enough:
        document.fault(path, "wrong")
        return
    written = str(path[-1]) if OF_THE_KEY in detail["loc"] else document.written(path)
    words = words_for(detail, model, written, vendors)
    if variable := document.empty_variable(path):
        words = f"the environment variable {variable} is empty; set it, or write the value here"
    document.fault(path, words)


def words_for(
    detail: ErrorDetails, model: type[Settings], written: str | None = None, vendors: Vendors | None = None
) -> str:
    """What is wrong and what is allowed. `written`, the value in the file, is repeated unless it may be a secret."""
    words = _words_for(detail, model, written, vendors)
    *above, last = detail["loc"] or ("",)
    names = _model_at(model, tuple(above)).secret_names() if detail["loc"] else frozenset[str]()
    if detail["type"] in ("list_type", "tuple_type") and written and slips.repeated(written):
        return f"`{written}` is not a list; write `[{written}]` or lines that start with `- `"
    if written and str(last).removesuffix("_file") not in names and _VALUE_FAULTS.match(words):
        return told_of(written, words)
    return words


def told_of(written: str, words: str) -> str:
    """Words about a value, with the value before them where it may be shown, or with what is odd in its letters."""
    if odd := slips.of_word(written):
        return odd
    shown = slips.repeated(written)
    return f"{shown} is {words}" if shown else words


def beyond_limits(detail: ErrorDetails, written: str = "") -> str:
    """What is wrong with a value of the right type that is out of bounds; empty where it is something else."""
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "literal_error" | "enum":
            allowed = re.findall(r"'([^']*)'", str(limits["expected"]))
            return f"unknown{slips.hint(written, allowed)}; allowed: {', '.join(allowed)}"
        case "greater_than_equal":
            return f"too small; the least is {limits['ge']}"
        case "greater_than":
            return f"too small; write more than {limits['gt']:g}"
        case "less_than_equal":
            return f"too large; the most is {limits['le']}"
        case "too_short":
            return "empty; write at least one"
        case "too_long":
            return f"too many; the most is {limits['max_length']}"
        case "string_too_short":
            return "empty; write a text"
        case "string_too_long":
            return f"too long; the most is {limits['max_length']} characters"
    return ""


def _words_for(detail: ErrorDetails, model: type[Settings], written: str | None, vendors: Vendors | None) -> str:
    match detail["type"]:
        case "setting":
            return str(detail["ctx"]["message"])
        case "extra_forbidden":
            return unknown_key(str(detail["loc"][-1]), _model_at(model, detail["loc"][:-1]), model, vendors)
        case "missing":
            field = _fields(_model_at(model, detail["loc"][:-1])).get(str(detail["loc"][-1]))
            return f"missing; {(field.description if field else None) or 'write a value'}"
        case "int_parsing" | "int_parsing_size" | "int_type" | "int_from_float":
            return "not a whole number; write digits"
        case "float_parsing" | "float_type" | "finite_number":
            return "not a number; write digits"
        case "bool_parsing" | "bool_type":
            return "neither true nor false; write one of them"
        case "string_type":
            return "not a text; write a value after the colon"
        case "list_type" | "tuple_type":
            return "not a list; write `[a, b]` or lines that start with `- `"
        case "dict_type" | "model_type":
            return "not a mapping; write keys with values"
        case "string_pattern_mismatch":
            return "not allowed here; write letters, digits, `_`, `-` and `.`, at most 64 and a letter or digit first"
    return beyond_limits(detail, written or "") or detail["msg"].lower()


def _model_at(model: type[Settings], path: Sequence[str | int]) -> type[Settings]:
    """The model of what is at a path, or of what is around it."""
    annotation: object = model
    for step in path:
        annotation = _inside(annotation, str(step))
        model = _model_in(annotation) or model
    return model


def _inside(annotation: object, step: str) -> object:
    """What may be at a key, or at a place in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return getattr(_fields(annotation).get(step), "annotation", None)
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) in (list, tuple):
        return get_args(annotation)[0]
    alternatives = [_inside(one, step) for one in get_args(annotation)]  # of a union, or what is annotated
    return next((one for one in alternatives if one is not None), None)


def _model_in(annotation: object) -> type[Settings] | None:
    """The model that something may be, also where it may be none, or a list or a mapping of such."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, Settings) else None
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _fields(model: type[Settings]) -> Mapping[str, FieldInfo]:
    """The settings of a model as they are written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _part(model: type[Settings], name: str) -> type[Settings] | None:
    """The model of a part of another, also where there may be several."""
    field = _fields(model).get(name)
    return _model_in(field.annotation) if field else None


def _keys(model: type[Settings]) -> list[str]:
    return sorted({*_fields(model), *(f"{name}_file" for name in model.secret_names())})


def unknown_key(key: str, model: type[Settings], root: type[Settings], vendors: Vendors | None) -> str:
    """Words about a key that a part has not: what was meant, or where it belongs; and which keys it may have."""
    allowed = _keys(model)
    told = f"unknown key{_meant(key, model, root, vendors)}; allowed: {', '.join(allowed)}"
    return slips.of_word(key) or told


def _meant(key: str, model: type[Settings], root: type[Settings], vendors: Vendors | None) -> str:
    if ":" in key:
        return f" without a space after the colon; write `{key.partition(':')[0]}: ` and the value"
    allowed = _keys(model)
    word, *more = key.split()
    if more and word in allowed:
        return f" without a colon after it; write `{word}: ` and the value"
    plain = key.lower().replace("-", "").replace("_", "")
    same = next((one for one in allowed if one.replace("_", "").rstrip("s") == plain.rstrip("s")), "")
    if same:
        return f"; did you mean {same}?"
    meant = _OTHER_WORDS.get(plain, "")
    if meant in allowed:
        return f"; did you mean {meant}?"
    own = issubclass(model, ProviderSettings) and model.secret_names() - ProviderSettings.secret_names()
    if own and len(own) == 1 and re.search("key|token|secret|password", plain):
        return f"; did you mean {next(iter(own))}?"
    if place := next((place for place, keys in _places(model, root, vendors) if key in keys), ""):
        return f" here; it is a setting of {place}"
    first, _, rest = key.replace("-", "_").replace(".", "_").partition("_")
    if (part := _part(model, first)) and rest in _keys(part):
        return f"; write `{first}:` and below it, indented, `{rest}:`"
    asked = slips.hint(key, allowed)
    if not asked and key.startswith(_FLAGS):
        return "; how the exporter listens is set by flags of the command line, such as --web.listen-address"
    return asked


def _places(model: type[Settings], root: type[Settings], vendors: Vendors | None) -> Iterator[tuple[str, list[str]]]:
    """Where else keys may stand: in the file outside of all, in parts of this, and in providers."""
    if model is not root:
        yield _whole(root), _keys(root)
    if issubclass(root, ProviderSettings):
        yield "the whole file", list(_OF_THE_FILE)
    yield from _parts(root, "")
    if not issubclass(root, ProviderSettings):
        yield "a provider, under `providers`", _keys(ProviderSettings)
    for name, vendor in (vendors or {}).items():
        if root is not vendor.settings:
            yield f"a provider of type {name}, under `providers`", _keys(vendor.settings)
            yield from _parts(vendor.settings, "of a provider")


def _whole(root: type[Settings]) -> str:
    if issubclass(root, ProviderSettings):
        return "a provider"
    return "the vendor" if issubclass(root, VendorDeclaration) else "the whole file"


def _parts(model: type[Settings], where: str) -> Iterator[tuple[str, list[str]]]:
    for name in _fields(model):
        if (part := _part(model, name)) and name != "providers":
            yield f"`{name}` {where}".strip(), _keys(part)
            yield from _parts(part, f"in `{name}` {where}".strip())
