"""The values of settings: what is accepted, what is refused in which words, and that secrets stay secret."""

from __future__ import annotations

import copy
import json
import logging
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from exporter.config.models import PollSettings, ProviderSettings, Secret, Settings
from exporter.config.values import BaseUrl, Bounds, Duration, Interval, Name, Rate
from tests.harness import VENDORS, settings_of, wait_for


def value_of(kind: Any, written: object) -> Any:
    """What a setting of this type becomes, or its fault."""
    try:
        return TypeAdapter(kind).validate_python(written)
    except ValidationError as error:
        return error.errors()[0]["msg"]


# Durations, rates, URLs, names.


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("15s", 15),
        ("10m", 600),
        ("24h", 86400),
        ("7d", 604800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 15s ", 15),
        ("0s", 0),
        ("10ms", 0.01),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    assert value_of(Duration, written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", "15", 1.5, "s", "15 s", "-5s", "15sec", "1e3s", "15S", None, True, ["15s"], "∞", "1..5s"],
    ids=repr,
)
def test_what_is_no_duration(written: object) -> None:
    told = value_of(Duration, written)
    assert isinstance(told, str)
    meant = "; did you mean 15s?" if str(written).startswith("15") else ""
    assert told == f"not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d{meant}"


@pytest.mark.parametrize("written", ["3661d", "9" * 400 + "s", "99999999h"], ids=["3661d", "huge", "hours"])
def test_durations_of_ages(written: str) -> None:
    assert value_of(Duration, written).startswith("longer than ten years")


def test_an_interval_is_longer_than_nothing() -> None:
    assert value_of(Interval, "10ms") == 0.01
    assert value_of(Interval, "0s") == value_of(Interval, "9ms") == "too short; the shortest is 10ms"


@pytest.mark.parametrize(
    ("written", "rate"), [("10/s", 10), ("600/m", 10), ("36000/h", 10), ("0.5/s", 0.5), (" 3/s ", 3), ("1/h", 1 / 3600)]
)
def test_rates(written: str, rate: float) -> None:
    assert value_of(Rate, written) == pytest.approx(rate)


@pytest.mark.parametrize(
    "written", ["", "10", 10, "0/s", "0.0/m", "-1/s", "10/d", "10/ s", "s", None, "inf/s"], ids=repr
)
def test_what_is_no_rate(written: object) -> None:
    meant = "; did you mean 10/s?" if written in ("10", "10/ s") else ""
    assert value_of(Rate, written) == (
        f"not a rate; write a number of requests per second, minute or hour, such as 10/s or 600/m{meant}"
    )


@pytest.mark.parametrize("written", ["0.5/h", f"0.{'0' * 300}1/s"], ids=["0.5/h", "tiny"])
def test_a_rate_has_a_floor(written: str) -> None:
    assert value_of(Rate, written) == "too slow; the slowest is 1/h"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://api.deerapi.com", "https://api.deerapi.com"),
        ("https://www.chanjing.cc/api/", "https://www.chanjing.cc/api"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("HTTPS://Vendor.example/Path", "https://Vendor.example/Path"),
        ("https://例え.example", "https://例え.example"),
    ],
)
def test_urls(written: str, url: str) -> None:
    assert value_of(BaseUrl, written) == url


@pytest.mark.parametrize(
    "written",
    [
        *("", "api.deerapi.com", "ftp://host", "https://", "https:///path", "https://:443", "//host", "file:///etc"),
        *("https://host:99999", "https://host:0", "https://host:port", "https://[::1", "https://a b", "https://a\nb"),
        *("\x01https://host", " https://host", 7, None, ["https://host"], b"https://host"),
    ],
    ids=repr,
)
def test_what_is_no_url(written: object) -> None:
    assert value_of(BaseUrl, written) == (
        "not a URL; write http:// or https://, a host and, if needed, a port and a path"
    )


@pytest.mark.parametrize("written", ["https://user:SECRET@host", "https://SECRET@host", "https://:SECRET@host"])
def test_a_url_holds_no_credentials(written: str) -> None:
    told = value_of(BaseUrl, written)
    assert told.startswith("holds credentials")
    assert "SECRET" not in told


@pytest.mark.parametrize(
    "written", ["https://host?key=SECRET", "https://host#SECRET", "https://host?", "https://host/#"]
)
def test_a_url_holds_no_query(written: str) -> None:
    told = value_of(BaseUrl, written)
    assert told.startswith("holds a query or a fragment")
    assert "SECRET" not in told


@pytest.mark.parametrize("written", ["deerapi", "a", "A-1_b.c", "0", "x" * 64])
def test_names(written: str) -> None:
    assert value_of(Name, written) == written


@pytest.mark.parametrize("written", ["", "a b", "-a", "_a", "x" * 65, "名", 'a"', "a\n", 7, None], ids=repr)
def test_what_is_no_name(written: object) -> None:
    assert value_of(Name, written) != written


@pytest.mark.parametrize(
    ("written", "bounds"),
    [(["1s", "1m"], (1, 60)), (["500ms"], (0.5,))],
)
def test_bounds(written: list[str], bounds: tuple[float, ...]) -> None:
    assert value_of(Bounds, written) == bounds


@pytest.mark.parametrize("written", [[], ["1m", "1s"], ["1s", "1s"], ["0s"], "1s", ["1s"] * 51, [1]], ids=repr)
def test_what_are_no_bounds(written: object) -> None:
    assert isinstance(value_of(Bounds, written), str)


# Secrets.

SHOWN = "<secret>"


class Account(Settings):
    """Some vendor's settings."""

    key: Secret
    other: Secret | None = None
    nested: Nested | None = None


class Nested(Settings):
    password: Secret


Account.model_rebuild()


@pytest.fixture
def account() -> Account:
    return Account.model_validate({"key": "MARKED", "other": "MARKED", "nested": {"password": "MARKED"}})


def test_a_secret_is_revealed_on_purpose_only(account: Account) -> None:
    assert account.key.reveal() == "MARKED"
    secret = account.key
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!s}", "%s" % secret] == [SHOWN] * 6  # noqa: UP031
    assert json.dumps({"key": secret}, default=str) == '{"key": "<secret>"}'


def test_printed_settings_show_no_secret(account: Account) -> None:
    printed = [
        repr(account),
        str(account),
        str(account.model_dump()),
        str(account.model_dump(mode="json")),
        account.model_dump_json(),
        repr(copy.deepcopy(account)),
        repr(account.model_copy(update={"other": None})),
    ]
    assert all(SHOWN in text and "MARKED" not in text for text in printed)
    assert account.model_dump(mode="json")["nested"] == {"password": SHOWN}


def test_logged_settings_show_no_secret(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("read %s %r", account, {"key": account.key})
    assert SHOWN in caplog.text
    assert "MARKED" not in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        {"key": "MARKED", "unknown": "MARKED"},
        {"key": "MARKED\nMARKED"},
        {"key": ["MARKED"]},
        {"key": {"MARKED": 1}},
        {"key": 1, "other": "MARKED"},
        {"other": "MARKED"},
        {"key": "MARKED", "key_file": "MARKED"},
        {"key": "MARKED", "nested": "MARKED"},
        {"key": "MARKED", "nested": {"password": ["MARKED"]}},
        "MARKED",
    ],
    ids=["unknown", "line break", "list", "mapping", "number", "missing", "twice", "nested", "nested list", "text"],
)
def test_the_text_of_a_fault_shows_no_secret(raw: object) -> None:
    with pytest.raises(ValidationError) as error:
        Account.model_validate(raw)
    assert "MARKED" not in str(error.value)
    assert "MARKED" not in repr(error.value)
    assert "MARKED" not in "".join(traceback.format_exception(error.value))
    assert "MARKED" not in str([fault["msg"] for fault in error.value.errors()])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("a\nb", "holds a line break or a control character"),
        ("a\x00b", "holds a line break or a control character"),
        (7, "not a text"),
        (None, "not a text"),
        (["a"], "not a text"),
    ],
    ids=repr,
)
def test_what_is_no_secret(written: object, told: str) -> None:
    assert value_of(Secret, written).startswith(told)


def test_blanks_around_a_secret_do_not_count() -> None:
    assert value_of(Secret, " a b \n").reveal() == "a b"


def test_secrets_are_equal_when_they_are_the_same_setting(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a")
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != "a"
    assert Secret.from_file(str(file)) == Secret.from_file(str(file)) != Secret("a")


# Secrets in files.


def test_the_file_of_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" FROM FILE\n")
    account = Account.model_validate({"key_file": str(file), "nested": {"password_file": str(file)}})
    assert account.key.reveal() == "FROM FILE"
    assert account.nested is not None
    assert account.nested.password.reveal() == "FROM FILE"
    assert "FROM FILE" not in repr(account)


def becomes(secret: Secret, text: str) -> None:
    """At the first call, unless the machine is so busy that the file does not answer at once."""
    wait_for(f"{text} instead of {secret.reveal()}", lambda: secret.reveal() == text)


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("OLD")
    secret = Secret.from_file(str(file))
    assert secret.reveal() == "OLD"
    file.write_text("NEW")
    os.utime(file, ns=(1, 1))  # another time even where the clock is coarse
    becomes(secret, "NEW")


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    file.write_text("OLD")
    secret = Secret.from_file(str(file))
    assert secret.reveal() == "OLD"
    other.write_text("NEW")
    other.replace(file)
    becomes(secret, "NEW")


@pytest.mark.parametrize("spoil", [b"", b"\xff", b"a\nb", b"x" * 70_000], ids=["empty", "binary", "lines", "large"])
def test_the_last_good_text_serves_while_the_file_is_bad(tmp_path: Path, spoil: bytes) -> None:
    file = tmp_path / "key"
    file.write_text("GOOD")
    secret = Secret.from_file(str(file))
    file.write_bytes(spoil)
    assert secret.reveal() == "GOOD"
    file.unlink()
    assert secret.reveal() == "GOOD"
    file.write_text("BETTER")
    becomes(secret, "BETTER")


def test_a_change_between_the_reading_and_the_first_use_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("OLD")
    secret = Secret.from_file(str(file))
    file.write_text("NEW")
    becomes(secret, "NEW")


async def test_a_file_is_waited_for_where_that_holds_nothing_up(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("OLD")
    secret = Secret.from_file(str(file))
    file.write_text("NEW!")
    assert await secret.fresh() == "NEW!"
    file.unlink()
    os.mkfifo(file)
    assert await secret.fresh() == "NEW!"
    file.unlink()
    file.write_text("NEWER")
    assert await secret.fresh() == "NEWER"


def make_a_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def make_a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def make_a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (make_a_pipe, "Is a pipe"),
        (make_a_socket, "Is a socket"),
        (Path.mkdir, "Is a directory"),
        (make_a_link_to_itself, "Too many levels of symbolic links"),
        (make_a_link_to_a_device, "Is a device"),
    ],
)
def test_a_secret_is_in_a_regular_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], told: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make(Path("key"))
    with pytest.raises(ValidationError, match=f"cannot be read: {told};"):
        Account.model_validate({"key_file": "key"})
    good, key = Path("good"), Path("link")
    good.write_text("GOOD")
    key.symlink_to(good)
    secret = Secret.from_file("link")
    key.unlink()
    make(key)
    assert secret.reveal() == "GOOD"
    Path("new").symlink_to(good)
    if not key.is_dir():
        Path("new").replace(key)  # as Kubernetes does it
        good.write_text("BETTER")
        becomes(secret, "BETTER")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "cannot be read: is empty"),
        (b"MARKED\xff", "cannot be read: the file is not UTF-8 text"),
        (b"MARKED\nMARKED", "cannot be read: holds a line break or a control character"),
        (b"MARKED" * 20_000, "cannot be read: the file is larger than 64 KiB"),
    ],
    ids=["missing", "empty", "binary", "lines", "large"],
)
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValidationError) as error:
        Account.model_validate({"key_file": str(file)})
    assert error.value.errors()[0]["msg"].startswith(f"{file} {told}")
    assert error.value.errors()[0]["loc"] == ("key",)
    assert "MARKED" not in str(error.value)


@pytest.mark.parametrize("path", [7, None, ["a"], "", "a\x00b", "/"], ids=repr)
def test_paths_that_are_none(path: object) -> None:
    with pytest.raises(ValidationError):
        Account.model_validate({"key_file": path})


# The models.


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        PollSettings.model_validate({"pol_interval": "15s"})


@pytest.mark.parametrize("raw", [None, [], "text", 7], ids=repr)
def test_what_is_no_mapping(raw: object) -> None:
    with pytest.raises(ValidationError, match="not a mapping; write keys with values"):
        PollSettings.model_validate(raw)


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PollSettings().poll_interval = 1.0  # type: ignore[misc]


def test_the_documented_defaults() -> None:
    shown = PollSettings().model_dump(exclude={"duration_buckets"})
    assert shown == {
        "poll_interval": 15,
        "idle_poll_interval": None,
        "request_timeout": 10,
        "history": 86400,
        "list_lag": 3600,
        "recent_window": 3600,
        "stalled_after": 600,
        "task_series_limit": 0,
        "account_interval": 300,
        "model_limit": 20,
    }


@pytest.mark.parametrize("name", VENDORS)
def test_every_credential_of_every_vendor_is_a_secret_with_a_file_twin(name: str) -> None:
    settings = VENDORS[name].settings
    ordinary = set(ProviderSettings.model_fields) | {"user_id", "app_id", "project_id", "iam"}
    ordinary |= {"bearer", "created_at_offset", "where", "list", "path", "api_version", "api_key_header"}
    ordinary |= {"endpoints", "queue_url", "headers", "billing_url"}
    secrets = settings.secret_names()
    assert "proxy" in secrets, "it may hold a password"
    assert set(settings.model_fields) - ordinary == secrets - {"proxy"}
    assert "headers" in settings.model_fields or len(secrets) > 1


def test_an_optional_secret_has_a_file_twin_too(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("TOKEN")
    chanjing = settings_of({"type": "chanjing", "access_token_file": str(file)})
    assert chanjing.model_dump()["access_token"] == SHOWN
