"""Users and passwords, over real HTTP: who comes in, what it costs, and that nothing of a password stays behind."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging

import bcrypt
import pytest

from exporter.config.models import Secret
from exporter.web.access.auth import QUEUE, REMEMBERED, Users
from exporter.web.access.turns import Busy
from tests.harness import until

from .serving import Folder, hashed, serving, users

SLOW = 8
"""A cost of some hundredths of a second."""


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


async def test_who_is_let_in(folder: Folder) -> None:
    expected = {
        ("dave", "dave123"): 200,
        ("carol", "carol123"): 200,
        ("dave", "bad"): 401,
        ("dave", ""): 401,
        ("dave", "carol123"): 401,
        ("nonexistent", "nonexistent"): 401,
        ("", ""): 401,
        ("DAVE", "dave123"): 401,
    }
    async with serving(folder.config(users(dave="dave123", carol="carol123"))) as address:
        for _ in range(2):
            assert {given: (await address.get(auth=given)).status_code for given in expected} == expected
        asked = await address.get()
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic ")
        assert "www-authenticate" not in (await address.get(auth=("dave", "dave123"))).headers


async def test_a_header_that_is_no_log_in_is_refused(folder: Folder) -> None:
    headers = [
        *("", "Basic", "Basic !!!!", "Basic ZGF2ZQ==", "Bearer ZGF2ZTpkYXZlMTIz", "ZGF2ZTpkYXZlMTIz"),
        *("Digest username=dave", "Basic " + "A" * 9000, "Basic /////w==", "dave:dave123", "Basic dave:dave123"),
    ]
    async with serving(folder.config(users(dave="dave123"))) as address, address.http() as client:
        for header in headers:
            assert (await client.get("/", headers={"Authorization": header})).status_code == 401, header
        for scheme in ("Basic", "basic", "BASIC "):
            header = f"{scheme} ZGF2ZTpkYXZlMTIz"
            assert (await client.get("/", headers={"Authorization": header})).status_code == 200, header


@pytest.mark.parametrize("password", ["a:b:", "pässwörd密码", " ", "x" * 72, "x" * 200, "a\0b", '"\\'])
async def test_any_password_that_can_be_hashed_can_be_used(password: str) -> None:
    stored = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    some = Users({"Zoë": Secret(stored)})
    assert await some.admit(basic("Zoë", password))
    assert not await some.admit(basic("Zoë", "y" + password))


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hashes_of_all_tools_are_taken(folder: Folder, prefix: str) -> None:
    made = hashed("secret").replace("$2b$", prefix)
    async with serving(folder.config(f"basic_auth_users: {{ann: {made}}}")) as address:
        assert (await address.get(auth=("ann", "secret"))).status_code == 200
        assert (await address.get(auth=("ann", "guess"))).status_code == 401


async def test_every_path_asks_for_a_password(folder: Folder) -> None:
    async with serving(folder.config(users(ann="secret"))) as address:
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/unknown", "/echo"):
            assert (await address.get(path)).status_code == 401, path


async def test_health_may_be_asked_for_without_a_password(folder: Folder) -> None:
    async with serving(folder.config("health_without_auth: true\n" + users(ann="secret"))) as address:
        found = {
            path: (await address.get(path)).status_code
            for path in (
                "/-/healthy",
                "/-/ready",
                "/",
                "/metrics",
                "/-/healthy/",
                "/-/healthy/../../metrics",
                "//-/ready",
            )
        }
    assert [path for path, status in found.items() if status == 200] == ["/-/healthy", "/-/ready"]
    assert set(found.values()) == {200, 401}


async def test_a_callback_is_left_to_its_own_secret(folder: Folder) -> None:
    async with serving(folder.config(users(ann="secret"))) as address:
        assert (await address.get("/api/v1/callbacks/vendor/kind")).status_code == 404, "this application has none"
        for path in ("/api/v1/callbacks", "/api/v1/tasks", "/x/api/v1/callbacks/vendor/kind"):
            assert (await address.get(path)).status_code == 401, path


async def test_the_event_loop_goes_on_while_passwords_are_checked() -> None:
    some = Users({"ann": Secret(hashed("secret", SLOW))})
    guesses = [asyncio.create_task(some.admit(basic("ann", f"guess{n}"))) for n in range(4)]
    turns = 0
    while not all(guess.done() for guess in guesses):
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100  # a handful, were they checked in it


async def test_one_who_is_known_does_not_wait_for_those_who_guess() -> None:
    some = Users({"ann": Secret(hashed("secret"))})
    assert await some.admit(basic("ann", "secret"))
    guesses = [asyncio.create_task(some.admit(basic("ann", f"guess{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    assert await some.admit(basic("ann", "secret"))
    assert not any(guess.done() for guess in guesses)
    assert await asyncio.gather(*guesses) == [False] * 3


async def test_a_right_password_gets_its_turn_among_those_who_guess_over_and_over() -> None:
    some = Users({"ann": Secret(hashed("secret"))})
    checked = 0

    async def guess(port: int) -> None:
        nonlocal checked
        while not known.done():
            await some.admit(basic("ann", f"guess{checked}"), ("127.0.0.1", port))
            checked += 1

    known: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    guesses = [asyncio.create_task(guess(port)) for port in range(50)]
    await until("each of them has failed", lambda: checked > 150)
    before = checked
    assert await some.admit(basic("ann", "secret"), ("127.0.0.1", 50))
    known.set_result(checked - before)
    await asyncio.gather(*guesses)
    assert known.result() < 10


async def test_one_who_is_sent_away_unchecked_gets_a_turn_at_the_next_try(folder: Folder) -> None:
    web = folder.config(f"basic_auth_users: {{ann: {hashed('secret', SLOW)}}}")
    some = web.access.users
    assert some
    async with serving(web) as address:
        # So many at once that the right one stands in the middle of those who wait, all on connections of their own.
        async def log_in(password: str, port: int) -> bool:
            return await some.admit(basic("ann", password), ("127.0.0.1", port + 100_000))

        words = [f"guess{n}" for n in range(QUEUE + 2)]
        words[QUEUE // 2 + 1] = "secret"
        waiting = [asyncio.create_task(log_in(word, port)) for port, word in enumerate(words)]
        await asyncio.sleep(0)
        late = [asyncio.create_task(log_in("late", 1000 + n)) for n in range(3)]
        first = await asyncio.gather(waiting[QUEUE // 2 + 1], return_exceptions=True)
        assert isinstance(first[0], Busy)
        assert (await address.get(auth=("ann", "secret"))).status_code == 200
        assert sum(not one.done() for one in waiting) > QUEUE / 2, "before most of the others"
        found = await asyncio.gather(*waiting, *late, return_exceptions=True)
    assert [one for one in found if one is not False and not isinstance(one, Busy)] == []


async def test_too_many_log_ins_at_once_are_told_to_come_again(folder: Folder) -> None:
    async with serving(folder.config(f"basic_auth_users: {{ann: {hashed('secret', SLOW)}}}")) as address:
        found = await asyncio.gather(*(address.get(auth=("ann", f"guess{n}")) for n in range(2 * QUEUE)))
    told = {(one.status_code, one.headers.get("retry-after")) for one in found}
    assert told == {(401, None), (503, "1")}


async def test_what_is_remembered_survives_a_reading_of_the_same_hashes(folder: Folder) -> None:
    text = f"basic_auth_users: {{ann: {hashed('secret', SLOW)}, bob: {hashed('word')}}}"
    web = folder.config(text)
    first = web.access.users
    assert first
    assert await first.admit(basic("ann", "secret"))
    assert await first.admit(basic("bob", "word"))
    folder.write(web_yml=text.replace(text[text.index(", bob:") :], f", bob: {hashed('word')}}}"))
    web.reread()
    second = web.access.users
    assert second
    assert second is not first
    guesses = [asyncio.create_task(second.admit(basic("ann", f"guess{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    assert await second.admit(basic("ann", "secret"))
    assert not any(guess.done() for guess in guesses), "one who is known does not wait"
    assert await second.admit(basic("bob", "word"))
    await asyncio.gather(*guesses)


class Checks(list[tuple[bytes, bytes]]):
    """Checks passwords, and keeps what was checked against which hash."""

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.append((password, hashed))
        return bcrypt.checkpw(password, hashed)


async def test_an_unknown_user_costs_as_much_as_a_known_one() -> None:
    """The same hash is computed."""
    checks, ann = Checks(), hashed("secret")
    some = Users({"ann": Secret(ann)}, check=checks)
    for user in ("ann", "nobody"):
        assert not await some.admit(basic(user, "wrong"))
    assert checks == [(b"wrong", ann.encode())] * 2


async def test_a_right_password_is_checked_once() -> None:
    checks = Checks()
    some = Users({"ann": Secret(hashed("secret"))}, check=checks)
    for _ in range(20):
        assert await some.admit(basic("ann", "secret"))
    assert len(checks) == 1


async def test_the_same_log_in_many_times_at_once_is_checked_once() -> None:
    checks = Checks()
    some = Users({"ann": Secret(hashed("secret"))}, check=checks)
    assert await some.admit(basic("ann", "wrong")) is False
    assert all(await asyncio.gather(*(some.admit(basic("ann", "secret")) for _ in range(QUEUE))))
    assert [password for password, _ in checks] == [b"wrong", b"secret"]


async def test_a_name_cannot_borrow_letters_from_the_password() -> None:
    some = Users({"ab": Secret(hashed("c")), "a": Secret(hashed("x"))})
    assert await some.admit(basic("ab", "c"))
    assert not await some.admit(basic("a", "bc"))


async def test_what_is_remembered_of_log_ins_is_bounded_and_forgets_the_least_used() -> None:
    stored = Secret(hashed("secret"))
    some = Users({f"user{n}": stored for n in range(REMEMBERED + 1)})
    for n in range(REMEMBERED):
        assert await some.admit(basic(f"user{n}", "secret"))
    assert await some.admit(basic("user0", "secret"))
    assert await some.admit(basic(f"user{REMEMBERED}", "secret"))
    marks = some._admitted
    assert len(marks) == REMEMBERED
    assert some._mark(b"user0", b"secret") in marks
    assert some._mark(b"user1", b"secret") not in marks


async def test_no_password_stays_in_memory_or_reaches_the_log(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    right, wrong = "correct-horse-battery", "wrong-horse-battery"
    some = Users({"ann": Secret(hashed(right))})
    assert await some.admit(basic("ann", right))
    assert not await some.admit(basic("ann", wrong))
    kept: list[object] = [some]
    for _ in range(4):
        kept += gc.get_referents(*kept)
    texts = [one if isinstance(one, bytes) else one.encode() for one in kept if isinstance(one, (bytes, str))]
    assert b"ann" in texts
    assert not [one for one in texts if b"horse" in one]
    async with serving(folder.config(users(ann=right))) as address:
        await address.get(auth=("ann", right))
        await address.get(auth=("ann", wrong))
    assert "horse" not in caplog.text
    assert base64.b64encode(f"ann:{right}".encode()).decode() not in caplog.text


async def test_a_password_that_was_changed_is_no_longer_good(folder: Folder) -> None:
    web = folder.config(users(ann="old", bob="same"))
    async with serving(web) as address:
        assert (await address.get(auth=("ann", "old"))).status_code == 200
        folder.write(web_yml=users(ann="new", bob="same"))
        web.reread()
        assert (await address.get(auth=("ann", "old"))).status_code == 401
        assert (await address.get(auth=("ann", "new"))).status_code == 200
        assert (await address.get(auth=("bob", "same"))).status_code == 200
        folder.write(web_yml=users(bob="same"))
        web.reread()
        assert (await address.get(auth=("ann", "new"))).status_code == 401
