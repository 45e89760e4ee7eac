"""Whom we trust: one context for all who trust the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from exporter.config.network.trust import TrustBroken, context


def test_all_who_trust_the_same_share_one_context(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert context() is context()
    assert context(str(file)) is context(str(file)) is not context()
    assert len(context(str(file)).get_ca_certs()) == len(context().get_ca_certs()) + 1


def test_a_file_that_has_changed_makes_a_new_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    before = context(), context(str(file))
    trustme.CA().cert_pem.write_to_path(str(file), append=True)
    after = context(), context(str(file))
    assert [len(one.get_ca_certs()) for one in (*before, *after)] == [1, 1, 2, 2]


@pytest.mark.parametrize(("content", "told"), [("none", "holds no certificate"), (None, "cannot be read")])
def test_a_file_without_a_certificate_is_named(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TrustBroken, match=told) as caught:
        context(str(file))
    assert str(file) in str(caught.value)
