"""Which proxy a URL is asked through, as the environment or a setting says."""

from __future__ import annotations

import pytest

from exporter.config.network.proxies import Proxies, ProxyUnusable, fault_of_setting, read_proxy

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("http://proxy.corp:3128", "http", "proxy.corp", 3128),
        ("proxy.corp:3128", "http", "proxy.corp", 3128),
        ("proxy.corp", "http", "proxy.corp", 80),
        (" HTTPS://proxy.corp/ ", "https", "proxy.corp", 443),
        ("socks://127.0.0.1/", "socks", "127.0.0.1", 1080),
        ("socks5h://[fd00::1]:9", "socks5h", "fd00::1", 9),
        ("http://[::1]", "http", "::1", 80),
    ],
)
def test_a_proxy_is_read_as_people_write_it(text: str, scheme: str, host: str, port: int) -> None:
    proxy = read_proxy(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)


@pytest.mark.parametrize("login", ["us#er:pa#ss/@w?", "us%23er:pa%23ss%2F%40w%3F"])
def test_user_and_password_may_hold_any_character_and_are_never_shown(login: str) -> None:
    proxy = read_proxy(f"http://{login}@127.0.0.1:9")
    assert (proxy.user, proxy.password, proxy.host) == ("us#er", "pa#ss/@w?", "127.0.0.1")
    assert "pa#ss" not in f"{proxy!r} {proxy.url}"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h",
        "http://",
        "http://:3128",
        "http://h:port",
        "http://h:70000",
        "http://h:0",
        "http://a b",
        "http://::1:9",
    ],
)
def test_what_is_no_proxy_is_told_without_its_password(text: str) -> None:
    scheme, _, rest = text.partition("://")
    with pytest.raises(ProxyUnusable, match=r"write http://, https:// or socks5://") as error:
        Proxies.of_environment({"all_proxy": f"{scheme}://alice:{SECRET}@{rest}"}).of("https", "vendor.example", None)
    assert str(error.value).startswith("all_proxy ")
    assert SECRET not in str(error.value)
    assert "`none`" in fault_of_setting(text)


@pytest.mark.parametrize(
    ("entries", "host", "port"),
    [
        ("*", "vendor.example", None),
        ("vendor.example", "vendor.example", None),
        ("other, vendor.example ,", "api.vendor.example", 8443),
        (".Vendor.Example", "API.vendor.example", None),
        ("*.vendor.example", "api.vendor.example", None),
        ("vendor.example:443", "vendor.example", None),
        ("vendor.example:8443", "vendor.example", 8443),
        ("10.0.0.0/8,127.0.0.0/8", "127.1.2.3", None),
        ("10.0.0.1", "10.0.0.1", 80),
        ("fd07:b51a:cc66:f0::/64", "fd07:b51a:cc66:f0::1", None),
        ("[fd07::]/16", "[fd07::1]", None),
        ("::1", "0:0:0:0:0:0:0:1", None),
        ("[::1]:8443", "::1", 8443),
        ("10.0.0.0/8", "::ffff:10.1.1.1", None),
    ],
)
def test_no_proxy_excepts(entries: str, host: str, port: int | None) -> None:
    proxies = Proxies.of_environment({"https_proxy": "proxy:1", "NO_PROXY": entries})
    assert proxies.of("https", host, port) is None


@pytest.mark.parametrize(
    ("entries", "host", "port"),
    [
        ("", "vendor.example", None),
        ("endor.example", "vendor.example", None),
        ("api.vendor.example", "vendor.example", None),
        ("vendor.example:80", "vendor.example", None),
        ("[::1]:80", "::1", 8443),
        ("10.0.0.0/8", "11.0.0.1", None),
        ("10.0.0.0/99,fd07::/300", "10.0.0.1", None),
        ("10.0.0.0/8", "10.vendor.example", None),
        ("::/0", "10.0.0.1", None),
    ],
)
def test_no_proxy_excepts_nothing_else(entries: str, host: str, port: int | None) -> None:
    proxies = Proxies.of_environment({"https_proxy": "proxy:1", "NO_PROXY": entries})
    assert proxies.of("https", host, port) == read_proxy("proxy:1", "https_proxy")


def test_which_variable_counts() -> None:
    proxies = Proxies.of_environment(
        {"http_proxy": "small:1", "HTTP_PROXY": "big:1", "https_proxy": "", "ALL_PROXY": "all:1", "FTP_PROXY": "ftp:1"}
    )
    assert [str(proxies.of(scheme, "a", None)) for scheme in ("http", "https")] == [
        str(read_proxy("small:1", "http_proxy")),
        str(read_proxy("all:1", "ALL_PROXY")),
    ]
    assert Proxies.of_environment({"HTTPS_PROXY": "  ", "FTP_PROXY": "ftp:1"}).of("https", "a", None) is None


@pytest.mark.parametrize("text", ["none", "direct", "None"])
def test_a_setting_may_say_to_have_no_proxy(text: str) -> None:
    assert fault_of_setting(text) == ""
    assert Proxies.of_setting(text).of("https", "vendor.example", None) is None
