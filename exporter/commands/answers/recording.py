"""What vendors answered, in files that are fit for a bug report or a test: `doctor --record`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from pathlib import Path

from exporter.client.answers import Answer
from exporter.client.client import Exchange
from exporter.client.errors import ContractBroken
from exporter.client.redaction.bodies import Names, Redactor, sent_in
from exporter.client.redaction.own import credentials_of, identity_of
from exporter.commands import WrongUse
from exporter.config.models import ProviderSettings

NOT_RECORDED = ("token",)
"""Endpoints whose answers are credentials."""


class Recording:
    """Writes answers into a folder; no file that is there is touched."""

    def __init__(self, folder: str) -> None:
        """Makes the folder where there is none. Raises WrongUse."""
        self._folder = Path(folder)
        self._names = Names()
        self._writing = threading.Lock()  # feeds end at any time, and have ids in common
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WrongUse(f"--record: {folder}: cannot be made: {error.strerror}; name a folder") from None
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise WrongUse(f"--record: {folder}: nothing can be written there; name another folder")

    def write(
        self,
        settings: ProviderSettings,
        kind: str,
        exchanges: Sequence[Exchange],
        ids: Collection[str],
        id_key: str = "id",
    ) -> list[str]:
        """Writes the answers of one feed and says what became of each; these are ids of its tasks, others may stand
        at that key."""
        sent = {word for one in exchanges for word in sent_in(one.request.headers)}
        redactor = Redactor(credentials_of(settings) | sent, identity_of(settings).keys(), self._names)
        with self._writing:
            answers = [(one, one.answer) for one in exchanges if one.answer and one.endpoint not in NOT_RECORDED]
            bodies = [(one, answer, _body(answer)) for one, answer in answers]
            for _, _, body in bodies:
                redactor.learn(body, ids, id_key)
            return list(self._written(f"{settings.name}-{kind.replace('/', '-')}", bodies, redactor))

    def _written(
        self, name: str, bodies: Sequence[tuple[Exchange, Answer, object]], redactor: Redactor
    ) -> Iterator[str]:
        for exchange, answer, body in bodies:
            if body is _NO_JSON:
                yield f"not written: the answer to `{exchange.endpoint}` (HTTP {answer.status}) is not JSON"
                continue
            status = f"-http{answer.status}" if answer.status >= 400 else ""
            text = json.dumps(redactor.redacted(body), indent=1, ensure_ascii=False) + "\n"
            try:
                yield str(self._new_file(f"{name}-{exchange.endpoint}{status}", text.encode("utf-8", "replace")))
            except OSError as error:
                yield f"not written: the answer to `{exchange.endpoint}`: {error.strerror}"

    def _new_file(self, name: str, content: bytes) -> Path:
        """A new file, which only its owner may read. Raises OSError."""
        for number in count(1):
            path = self._folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            with os.fdopen(file, "wb") as opened:
                opened.write(content)
            return path
        raise AssertionError("there is always another number")


_NO_JSON = object()


def _body(answer: Answer) -> object:
    try:
        return answer.json()
    except ContractBroken:
        return _NO_JSON
