"""Whom we trust: one context for all who trust the same."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from exporter.providers.tls_context import tls_context


def test_all_who_trust_the_same_share_one_context(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert tls_context() is tls_context()
    assert tls_context(str(file)) is tls_context(str(file)) is not tls_context()
    assert len(tls_context(str(file)).get_ca_certs()) == 1


def test_a_file_that_has_changed_makes_a_new_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    before = tls_context(), tls_context(str(file))
    trustme.CA().cert_pem.write_to_path(str(file), append=True)
    after = tls_context(), tls_context(str(file))
    assert [len(one.get_ca_certs()) for one in (*before, *after)] == [1, 1, 2, 2]


def test_a_file_without_a_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ssl.SSLError):
        tls_context(str(tmp_path / "ca.pem"))
    with pytest.raises(FileNotFoundError):
        tls_context(str(tmp_path / "nowhere.pem"))
