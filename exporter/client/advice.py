"""What to do about what goes wrong: one source for the status page and the doctor.

Each failure carries its cause from where it was raised; `advice` says what to do about it, with the names of the
settings that matter.
"""

from __future__ import annotations

from exporter.config.models import ProviderSettings, Secret, Settings
from exporter.tasks import Cause

_ADVICE: dict[Cause, str] = {
    Cause.NO_ADDRESS: (
        "Check the host in base_url ({base_url}) for a typo and for the right region, and that this machine or "
        "container has a name server that knows it. Where only a proxy reaches the internet, name it in HTTPS_PROXY "
        "(for http:// HTTP_PROXY), or in the provider's setting `proxy`."
    ),
    Cause.REFUSED: (
        "The machine is there, but nothing answers at that port. Check host and port in base_url ({base_url}), and "
        "the proxy if one is set (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."
    ),
    Cause.TLS: (
        "Check that base_url ({base_url}) says https:// where the vendor does, and the date of this machine. Behind "
        "a proxy that opens TLS, name its certificate authority in the provider's setting `ca_file`, or one file with "
        "all authorities in SSL_CERT_FILE. REQUESTS_CA_BUNDLE is not read."
    ),
    Cause.PROXY: (
        "Check the proxy in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or in the provider's setting `proxy`: "
        "scheme (most speak http://, whatever they carry), host, port, user and password (with @, : and / encoded as "
        "%40, %3A and %2F), and whether it lets this host through."
    ),
    Cause.INTERCEPTED: (
        "Something between the exporter and the vendor answered: a CDN, a firewall (WAF), a proxy or login page. "
        "It may block the address or the region from which this machine reaches the internet, or require a login. Try "
        "base_url ({base_url}) from this machine with curl; ask the vendor or your network's administrators to let the "
        "address through, or reach the vendor another way (`proxy`). If base_url is a gateway of your own, check it."
    ),
    Cause.CONNECTION: (
        "Check base_url ({base_url}), the firewall, and the proxy if one is set (HTTPS_PROXY, HTTP_PROXY, "
        "NO_PROXY). If it works again by itself, the vendor or the network had an outage."
    ),
    Cause.TIMEOUT: (
        "Check base_url ({base_url}), the firewall, and the proxy if one is set: one that drops packets, or https:// "
        "for a proxy that speaks http://, looks like this. If the vendor is just slow, raise request_timeout "
        "({timeout:g} s) or lower page_size ({page_size})."
    ),
    Cause.WRONG_URL: (
        "The response is not from the vendor's API. Check base_url ({base_url}): the host, the region, the path "
        "before the version, and that no proxy or login page stands in between."
    ),
    Cause.CREDENTIALS: (
        "Check {credentials}: the right account, no missing character, not revoked, with the right to read tasks. "
        "A credential from a file is read again as soon as the file changes."
    ),
    Cause.TOKEN: (
        "The token has expired or was replaced: at some vendors each new token invalidates the old one. "
        "Check {credentials}; a new token in a file is read again as soon as the file changes, one in the settings "
        "with a reload.{renewal}"
    ),
    Cause.TOKEN_RENEWED_ELSEWHERE: (
        "Another program requests tokens with the same {credentials}, and each new token invalidates the old one. Give "
        "the exporter the token that the other program has, or credentials of its own."
    ),
    Cause.TOKEN_NOT_FETCHED: (
        "Run the doctor again with --fetch-token if it may request a new token: here that invalidates the one that a "
        "running exporter, or your own program, is using."
    ),
    Cause.TOKEN_FETCHED: (
        "This invalidated the previous token: a running exporter requests another one by itself, other programs may "
        "need the new token."
    ),
    Cause.SIGNATURE: (
        "Check that the clock of this machine is right, since signatures hold the time and are refused when it is "
        "off by minutes, and then {credentials}."
    ),
    Cause.CLOCK: (
        "Set the clock of this machine right (NTP): signed requests are refused when the clocks are minutes apart, "
        "and durations that mix the vendor's times with ours are wrong by as much."
    ),
    Cause.PROJECT: (
        "The credentials belong to another project, tenant or region than the one asked for. Check {credentials} "
        "and the region in base_url ({base_url})."
    ),
    Cause.USER_ID: (
        "The vendor requires the number of the user to whom the token belongs; the call sent none, or another one."
    ),
    Cause.IP: (
        "The vendor does not allow this address. Add the address from which this machine reaches the internet to "
        "the vendor's list of allowed addresses."
    ),
    Cause.RATE: (
        "The vendor allows fewer calls. Lower rate_limit ({rate}) or raise poll_interval ({interval:g} s), also in "
        "other programs that use this account: limits mostly count all calls together. The exporter waits as long as "
        "the vendor asks."
    ),
    Cause.BALANCE: (
        "The account has no credit or quota left. Top it up at the vendor; polling then continues by itself."
    ),
    Cause.REQUEST: (
        "The vendor rejected the request as invalid. Check page_size ({page_size}), base_url ({base_url}) and "
        "the ids under watch; if they are right, the vendor's API has changed: look for a newer version of the "
        "exporter."
    ),
    Cause.VENDOR: (
        "The vendor has an outage or another disturbance. Wait, and check its status page if it lasts; polling "
        "continues by itself."
    ),
    Cause.CONTRACT: (
        "The response differs from the vendor's documentation. Check base_url ({base_url}) first; if it is right, the "
        "vendor's API has changed: look for a newer version of the exporter, or report it with the excerpt shown."
    ),
    Cause.SIZE: "Lower page_size ({page_size}): the limit is 8 MiB per response.",
    Cause.DRIFT: (
        "The vendor returned a value or format that the exporter does not know. Those parts are left "
        "out and counted; the rest is right. Look for a newer version of the exporter, or report it."
    ),
    Cause.NO_TASKS: (
        "The vendor shows no task. If you expect tasks, check whether {credentials} and the tasks are of the "
        "same account, and whether the vendor still shows tasks as old as yours."
    ),
    Cause.NOTHING_TO_WATCH: (
        "This feed cannot be listed with these credentials, and no id is given to look up. Give ids under watch "
        "in the settings (tasks, files or http), or send them to /api/v1/tasks."
    ),
    Cause.NOT_FOUND: (
        "The vendor does not know this task. It may be too old, belong to another account, or be mistyped; a task "
        "that was submitted a moment ago may need some seconds."
    ),
    Cause.WATCH: "Fix the watch file or URL; the last good ids are followed until then.",
    Cause.SLOW: (
        "Calls were delayed by rate_limit or by a slow vendor. Raise rate_limit ({rate}) if the vendor "
        "allows more calls, or else poll_interval ({interval:g} s)."
    ),
    Cause.LEDGER: (
        "Check the disk of ledger.path, or the database of ledger.url: whether it exists, is writable and not full. "
        "Sweeps are retried; only tasks that the vendor drops meanwhile are lost."
    ),
    Cause.BUG: "Restart the exporter, and report it with the log at --log.level=debug.",
}


def advice(cause: Cause, settings: ProviderSettings, renews: bool = True) -> str:
    """What to do about it, in words. `renews`: the exporter asks for tokens itself, or never can."""
    return _ADVICE[cause].format(
        base_url=settings.base_url,
        credentials=" and ".join(credentials(settings)) or "the credentials",
        interval=settings.poll_interval,
        page_size=settings.page_size,
        rate=_rate(settings.rate_limit),
        timeout=settings.request_timeout,
        renewal="" if renews else " Or let the exporter ask for tokens itself, with credentials of its own.",
    )


def credentials(settings: ProviderSettings) -> list[str]:
    """The names of the credentials that are set: the vendor's own settings that are secret, or hold secrets."""
    own = (name for name in type(settings).model_fields if name not in ProviderSettings.model_fields)
    return [name for name in own if isinstance(getattr(settings, name), Secret | Settings)]


def _rate(per_second: float) -> str:
    return f"{per_second:g}/s" if per_second >= 1 else f"{per_second * 60:g}/m"
