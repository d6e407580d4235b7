"""The folder of a run: whole at every moment, one process at a time, and it says how to go on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loopwright.errors import ArgumentError, CompileError, StoreError
from loopwright.measurement.timer import Measurement, Protocol
from loopwright.search import run_folder
from loopwright.search.run_folder import RUN, RunArguments, RunRequest, RunState, new_run, require_finished, resumed_run

REQUEST = RunRequest(
    "net.py:net",
    (1, 3, 8, 8),
    RunArguments(seed=3, data="/data"),
    "/store.sqlite",
    "loopwright ...",
    "/here",
    "ab",
    "cd",
)
NOBODY = 65534
TIMINGS = [Measurement((1.0, 2.5), Protocol(rounds=2)), Measurement((3.0,), Protocol(rounds=1))]


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A run that was interrupted."""
    with pytest.raises(KeyboardInterrupt), new_run(tmp_path / "runs" / "net", REQUEST):
        raise KeyboardInterrupt
    return tmp_path / "runs" / "net"


def deliver(run: run_folder.RunFolder) -> None:
    with run.result() as staged:
        (staged / "network.json").write_text("{}")
        (staged / "numbers").mkdir()
        (staged / "numbers" / "front.csv").write_text("a,b\n")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_run_is_there_from_its_start(tmp_path: Path):
    with new_run(tmp_path / "runs" / "net", REQUEST) as run:
        assert files(tmp_path) == ["runs/net/run.json"]
        assert RunState.read(run.path) == RunState(REQUEST)
        deliver(run)
    assert files(tmp_path) == ["runs/net/network.json", "runs/net/numbers/front.csv", "runs/net/run.json"]
    assert RunState.read(run.path) == RunState(REQUEST, finished=True)
    assert run.path.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_may_become_a_run_and_another_may_not(tmp_path: Path):
    (tmp_path / "net").mkdir()
    refused = pytest.raises(ArgumentError, match="can't be made .Directory not empty")
    with new_run(tmp_path / "net", REQUEST), refused, new_run(tmp_path / "net", REQUEST):
        pass
    assert files(tmp_path) == ["net/run.json"]


@pytest.mark.parametrize("error", [ArgumentError("--images 8 is wrong"), run_folder.TraceError("line 3")])
def test_wrong_input_leaves_nothing(error: Exception, tmp_path: Path):
    with pytest.raises(type(error)), new_run(tmp_path / "runs" / "net", REQUEST):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [StoreError("the disk is full"), CompileError("no such instruction")])
def test_what_fails_later_stays_and_says_how_to_go_on(error: Exception, tmp_path: Path):
    out = tmp_path / "my runs"
    told = pytest.raises(type(error), match=rf"^{error}; then go on with loopwright optimize --resume '{out}'$")
    with told, new_run(out, REQUEST):
        raise error
    assert files(out) == ["run.json"]


def test_a_run_goes_on(unfinished: Path):
    with resumed_run(unfinished) as run:
        assert run.state == RunState(REQUEST)
        run.go_on(REQUEST.store)
    with resumed_run(unfinished) as run:
        assert run.state == RunState(REQUEST, resumed=1)
        run.go_on("postgresql://db/team")
        assert RunState.read(unfinished) == RunState(replace(REQUEST, store="postgresql://db/team"), resumed=2)
        deliver(run)
    refused = pytest.raises(ArgumentError, match=r"the run in .* is finished; its report is .*report.html")
    with refused, resumed_run(unfinished):
        pass


def test_what_is_not_finished_is_no_result(unfinished: Path):
    with pytest.raises(ArgumentError, match=rf"not finished; go on with loopwright optimize --resume {unfinished}$"):
        require_finished(unfinished)
    with resumed_run(unfinished) as run:
        deliver(run)
    require_finished(unfinished)
    require_finished(unfinished / "nowhere")


def test_timings_are_taken_once(unfinished: Path):
    def never() -> list[Measurement]:
        raise AssertionError("they have been taken")

    with resumed_run(unfinished) as run:
        assert run.timings(["a", "b"], lambda: TIMINGS) == TIMINGS
    with resumed_run(unfinished) as run:
        assert run.timings(["a", "b"], never) == TIMINGS
        assert run.timings(["a", "c"], lambda: TIMINGS[:1]) == TIMINGS[:1], "of other networks they say nothing"
        (unfinished / ".unfinished" / "finalists.json").write_text("[")
        assert run.timings(["a", "c"], lambda: TIMINGS) == TIMINGS


def ended_at(step: int, folder: Path) -> bool:
    """Delivers in a process that ends at the so-many-th file that it moves; whether it came to that."""
    process = os.fork()
    if process == 0:
        moves, move = iter(range(step + 1)), Path.replace

        def moving(path: Path, to: Path) -> Path:
            if next(moves) == step:
                os._exit(9)
            return move(path, to)

        Path.replace = moving  # type: ignore[method-assign,assignment]
        with resumed_run(folder) as run:
            run.go_on("/store.sqlite")
            deliver(run)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


def test_an_end_at_any_step_of_the_delivery_leaves_no_half_result(unfinished: Path):
    step = 0
    while ended_at(step, unfinished):
        state = RunState.read(unfinished)
        assert state is not None
        assert not state.finished
        step += 1
    assert step == 4, "run.json, network.json, numbers, run.json"
    assert files(unfinished) == ["network.json", "numbers/front.csv", "run.json"]
    require_finished(unfinished)


HOLD = """
import sys
from pathlib import Path
from loopwright.search.run_folder import resumed_run
with resumed_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(unfinished: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works on the folder."""
    holding = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(unfinished)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holding.stdout is not None
    assert holding.stdout.readline() == "held\n"
    yield holding
    holding.kill()
    holding.communicate()


def test_two_processes_never_work_on_one_folder(
    unfinished: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_folder, "LOCK_PATIENCE_S", 0.1)
    before = (unfinished / RUN).read_bytes()
    refused = pytest.raises(ArgumentError, match=f"another process works on {unfinished}; wait for it, or end it")
    with refused, resumed_run(unfinished):
        pass
    assert (unfinished / RUN).read_bytes() == before
    holder.kill()
    holder.wait()
    with resumed_run(unfinished) as run:
        deliver(run)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="lw-run-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count for root as well while this lasts."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_read_only_folder_is_told_and_nothing_is_lost(shared_folder: Path):
    with pytest.raises(KeyboardInterrupt), new_run(shared_folder / "net", REQUEST):
        raise KeyboardInterrupt
    for folder in (shared_folder / "net", shared_folder):
        folder.chmod(0o555)
    before = (shared_folder / "net" / RUN).read_bytes()
    told = pytest.raises(StoreError, match="can't be written .Permission denied.; free some space, or mend its perm")
    with unprivileged(), told, resumed_run(shared_folder / "net") as run:
        run.go_on("/store.sqlite")
    told = pytest.raises(ArgumentError, match="can't be made .Permission denied.; name a folder that you may write to")
    with unprivileged(), told, new_run(shared_folder / "other", REQUEST):
        pass
    for folder in (shared_folder, shared_folder / "net"):
        folder.chmod(0o755)
    assert files(shared_folder) == ["net/run.json"]
    assert (shared_folder / "net" / RUN).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ("[1]", "is damaged"),
        ('{"format": 1}', r"is damaged \('request'\); optimize again into a new folder"),
        ('{"format": 99}', "has format 99, this version reads 1; upgrade Loopwright"),
    ],
)
def test_what_can_t_be_read_is_told_and_left_alone(content: str, message: str, unfinished: Path):
    (unfinished / RUN).write_text(content)
    for use in (require_finished, RunState.read):
        with pytest.raises(ArgumentError, match=message):
            use(unfinished)
    with pytest.raises(ArgumentError, match=message), resumed_run(unfinished):
        pass
    assert (unfinished / RUN).read_text() == content


def test_a_folder_without_a_run(tmp_path: Path):
    with (
        pytest.raises(ArgumentError, match="there is no folder .*nowhere; name one"),
        resumed_run(tmp_path / "nowhere"),
    ):
        pass
    with pytest.raises(ArgumentError, match="holds no run that could go on; name one"), resumed_run(tmp_path):
        pass


def test_what_a_run_was_asked_for_is_text(unfinished: Path):
    state = json.loads((unfinished / RUN).read_text())
    assert state["request"]["arguments"]["seed"] == 3
    assert state["finished"] is False
