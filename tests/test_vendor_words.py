"""What belongs to one vendor stands in that vendor's file: its name, its settings, its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.config.models import ProviderSettings
from exporter.vendors.api import Vendor
from tests.harness import VENDORS

PACKAGE = Path(__file__).parent.parent / "exporter"
OWN = ("vendors/builtin", "simulator")
"""The vendors' files, and their fakes."""
GENERAL = {"access_key", "access_token", "api_key", "auth_token", "bearer", "secret_key", "token"}
"""Settings whose names are what the field calls such a credential."""
ENGLISH = {
    *("open", "video", "where", "generation", "task", "job", "prediction", "request", "operation"),
    *("clip", "talk", "translation", "lipsync", "ark", "text2video", "list", "path", "videos"),
    *("api", "headers", "endpoints", "billing_url"),
}
"""Declared words that are also plain English, or settings of any vendor."""
OF_FILES = {"chanjing": {"蝉豆"}, "huawei_metastudio": {"apigw"}}
"""Words that are in no declaration, by vendor."""
ALLOWED = {
    ("vendors/registry.py", "*"): "names the vendors there are",
    ("tasks.py", "user_id"): "the name of a cause, for any vendor that asks for the number of a user",
    ("client/interception.py", "huawei"): "a firewall of that name, which may stand before any vendor",
    ("client/interception.py", "aliyun"): "as the one before",
    ("vendors/declared/auth/signatures.py", "volcengine"): "the source of a signature that any vendor may have",
    ("vendors/declared/auth/signatures.py", "byteplus"): "as the one before",
    ("vendors/declared/auth/signatures.py", "alibaba"): "as the one before",
    ("client/redaction/error_words.py", "iam"): "a word of error messages of several clouds",
    ("client/redaction/error_words.py", "apigw"): "as the one before",
}


def words_of(vendor: Vendor) -> set[str]:
    settings = vendor.settings.model_fields.keys() - ProviderSettings.model_fields.keys() - GENERAL
    declared = {vendor.name, *vendor.other_names, *vendor.kinds, *vendor.settings.added, *settings}
    return (declared | OF_FILES.get(vendor.name, set())) - ENGLISH


TEXTS = {
    name: re.sub(r"Cause\.\w+", "", file.read_text(encoding="utf-8"))
    for file in PACKAGE.rglob("*.py")
    if not (name := file.relative_to(PACKAGE).as_posix()).startswith(OWN)
}


def found(word: str) -> list[str]:
    """The files that hold a word where it is not allowed."""
    sign = re.compile(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", re.IGNORECASE)
    return [
        name for name, text in TEXTS.items() if not {(name, word), (name, "*")} & ALLOWED.keys() and sign.search(text)
    ]


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_what_belongs_to_one_vendor_stands_in_its_file(vendor: Vendor) -> None:
    words = words_of(vendor)
    assert vendor.name in words
    assert {word: files for word in sorted(words) if (files := found(word))} == {}


def test_each_exception_is_needed() -> None:
    texts = {name: (PACKAGE / name).read_text(encoding="utf-8").lower() for name, _ in ALLOWED}
    assert [(name, word) for name, word in ALLOWED if word != "*" and word not in texts[name]] == []
