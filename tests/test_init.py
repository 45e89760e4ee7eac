"""`init`: a first configuration out of answers, in which no secret is asked for, shown or written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from exporter.commands import WrongUse
from exporter.commands.init import Answers, questioned
from exporter.config.load import load
from exporter.simulator import Credentials
from exporter.vendors.registry import built_in
from tests.harness import Site

ROOT = Path(__file__).parent.parent
SECRET = "sk_live_51H8abcdefghijklmnop"


def init(folder: Path, *flags: str, answers: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`init` with these answers, a line each."""
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "-m", "exporter", "init", *flags],
        input=answers,
        cwd=folder,
        env=plain | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def written(folder: Path, name: str = "config.yaml") -> dict[str, object]:
    (provider,) = yaml.safe_load((folder / name).read_text())["providers"]
    return dict(provider)


def test_answers_become_a_configuration_that_the_doctor_then_tries(tmp_path: Path, site: Site) -> None:
    url = site.account("facewap")["base_url"]
    answers = f"facewap\nswaps\n{url}\nFACE_TOKEN\n"
    done = init(tmp_path, answers=answers, FACE_TOKEN=Credentials().facewap_token)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert written(tmp_path) == {
        "name": "swaps",
        "type": "facewap",
        "base_url": url,
        "token": "${FACE_TOKEN}",
    }
    assert "FACE_TOKEN is set." in done.stdout
    assert "All is well." in done.stdout
    assert Credentials().facewap_token not in done.stdout


def test_a_variable_that_is_not_set_is_named_and_the_doctor_waits_for_it(tmp_path: Path) -> None:
    done = init(tmp_path, "--type=heygen", "--defaults")
    assert done.returncode == 1
    assert written(tmp_path)["api_key"] == "${HEYGEN_API_KEY}"
    assert "HEYGEN_API_KEY is not set." in done.stdout
    assert "then run: videotask-exporter doctor --config.file=config.yaml" in done.stdout


def test_a_file_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    done = init(tmp_path, "--type=heygen", "--defaults", "--no-doctor")
    assert (done.returncode, done.stdout) == (1, "")
    assert "config.yaml exists and stays as it is" in done.stderr
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_a_secret_in_place_of_a_variable_is_neither_written_nor_repeated(tmp_path: Path) -> None:
    done = init(tmp_path, "--no-doctor", answers=f"heygen\n\n{SECRET}\nHEYGEN_KEY\n")
    assert done.returncode == 0
    assert written(tmp_path)["api_key"] == "${HEYGEN_KEY}"
    assert SECRET not in done.stdout + done.stderr
    assert "There is no such variable. If this is the secret itself" in done.stdout
    for flag in (f"--env=api_key={SECRET}", f"--set=api_key={SECRET}"):
        refused = init(tmp_path, "--type=heygen", "--defaults", "--config.file=other.yaml", flag)
        assert refused.returncode == 2
        assert SECRET not in refused.stdout + refused.stderr
    assert not (tmp_path / "other.yaml").exists()


def test_the_end_of_the_answers_leaves_no_file(tmp_path: Path) -> None:
    done = init(tmp_path, answers="heygen\n")
    assert done.returncode == 1
    assert done.stderr.strip() == "videotask-exporter init: ended before the last answer; nothing was written"
    assert not (tmp_path / "config.yaml").exists()


def test_an_interrupt_ends_it_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "init"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    shown = ""
    while "type:" not in shown:
        shown += process.stdout.read(1)
    time.sleep(0.05)  # the question is out; the answer is waited for
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told.strip()) == (
        130,
        "videotask-exporter init: ended before the last answer; nothing was written",
    )


def test_what_is_wrong_is_asked_again(tmp_path: Path) -> None:
    answers = "hygen\ncomfyui\n\nlocalhost\nhttp://127.0.0.1:8188\n"
    done = init(tmp_path, "--no-doctor", answers=answers)
    assert done.returncode == 0
    assert "`hygen` is no vendor; did you mean heygen?" in done.stdout
    assert "base_url: not a URL" in done.stdout
    assert written(tmp_path) == {"name": "comfyui", "type": "comfyui", "base_url": "http://127.0.0.1:8188"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--type=hygen"], "--type: `hygen` is no vendor; did you mean heygen?"),
        (["--type=comfyui"], "base_url has no default; answer it with --set base_url=VALUE"),
        (["--type=comfyui", "--set=base_url=x"], "base_url: not a URL"),
        (
            ["--type=heygen", "--set=colour=red"],
            "heygen has no setting colour; beside those of all providers it has api_key, base_url, where",
        ),
        (["--type=heygen", "--env=apikey=HEYGEN"], "heygen has no setting apikey; did you mean api_key?; "),
        (["--type=heygen", "--name=a b"], "name: not allowed here"),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_is_told_and_nothing_is_written(tmp_path: Path, flags: list[str], told: str) -> None:
    done = init(tmp_path, *flags, "--defaults")
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "config.yaml").exists()


def test_flags_alone_choose_among_ways_to_authenticate(tmp_path: Path) -> None:
    flags = ("--set=project_id=p-1", "--env=access_key=HW_AK", "--env=secret_key=HW_SK", "--set=page_size=20")
    done = init(tmp_path, "--type=huawei_metastudio", "--name=studio", *flags, "--defaults", "--no-doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert written(tmp_path) == {
        "name": "studio",
        "type": "huawei_metastudio",
        "page_size": 20,
        "project_id": "p-1",
        "access_key": "${HW_AK}",
        "secret_key": "${HW_SK}",
    }


NEEDED = {"base_url": "https://gateway.example", "endpoints": "fal-ai/kling-video", "project_id": "p-1"}
"""What has no default, at those vendors that want it."""


@pytest.mark.parametrize("name", list(built_in()))
def test_every_vendor_gets_a_configuration_that_is_good(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = built_in()[name].settings.model_fields
    given = {key: value for key, value in NEEDED.items() if key in fields and fields[key].is_required()}
    first = questioned(built_in(), Answers(input, print, {}, {"type": name} | given, defaults=True))
    for variable in first.variables:
        monkeypatch.setenv(variable, "0123456789:abcdef")
    (tmp_path / "config.yaml").write_text(first.text)
    config = load(str(tmp_path / "config.yaml"), vendors=built_in())
    assert [(one.name, one.type) for one in config.providers] == [(name, name)]
    assert first.by_id == (name in ("google_veo", "minimax_v1", "pixverse", "runway"))


def test_a_part_of_the_settings_is_asked_for_key_by_key() -> None:
    replies = iter(("huawei_metastudio", "", "3", "p-1", "https://iam.example", "corp", "reader", "HW_PASSWORD"))
    answers = Answers(lambda _: next(replies), lambda _: None, {})
    first = questioned(built_in(), answers)
    assert yaml.safe_load(first.text)["providers"][0]["iam"] == {
        "endpoint": "https://iam.example",
        "domain": "corp",
        "username": "reader",
        "password": "${HW_PASSWORD}",
    }
    assert first.variables == ["HW_PASSWORD"]


def test_a_list_that_takes_a_second_credential_asks_for_it_and_does_without() -> None:
    answers = Answers(input, print, {}, {"type": "deerapi"}, defaults=True)
    assert "user_token" not in yaml.safe_load(questioned(built_in(), answers).text)["providers"][0]
    there = Answers(input, print, {"DEERAPI_USER_TOKEN": "x"}, {"type": "deerapi"}, defaults=True)
    assert questioned(built_in(), there).variables == ["DEERAPI_API_KEY", "DEERAPI_USER_TOKEN"]


def test_a_dollar_sign_of_an_answer_is_no_variable() -> None:
    given = {"type": "comfyui", "base_url": "http://gpu.example/$x"}
    text = questioned(built_in(), Answers(input, print, {}, given, defaults=True)).text
    assert "http://gpu.example/$$x" in text


def test_a_flag_for_nothing_is_no_answer() -> None:
    with pytest.raises(WrongUse, match=r"no setting iam\.domain"):
        questioned(built_in(), Answers(input, print, {}, {"type": "heygen", "iam.domain": "x"}, defaults=True))
