"""The vendors we know. Adding one is a file beside this and a line here."""

from __future__ import annotations

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings
from exporter.vendors.api import Provider, Vendor
from exporter.vendors.builtin import chanjing, deerapi, facewap, huawei_metastudio

VENDORS: dict[str, Vendor] = {
    vendor.name: vendor for vendor in (deerapi.VENDOR, chanjing.VENDOR, huawei_metastudio.VENDOR, facewap.VENDOR)
}


def connect(settings: ProviderSettings, token_store: TokenStore) -> Provider:
    """The provider that these settings describe, with the feeds that they ask for."""
    client = Client(
        settings.base_url,
        rate=settings.rate_limit,
        timeout=settings.request_timeout,
        proxy=settings.proxy,
        ca_file=settings.ca_file,
    )
    vendor = VENDORS[settings.type]
    feeds = vendor.feeds(settings, client, token_store)
    chosen = [feed for feed in feeds if settings.feeds is None or feed.kind in settings.feeds]
    return Provider(settings, client, chosen, vendor)
