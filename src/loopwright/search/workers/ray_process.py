"""The process that is connected to Ray, so that Ray's threads, its output and its way of ending a process stay out of
the one that searches and measures.

It is told and tells what `ray_messages` has. It ends when its connection is closed.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread, Timer
from typing import Any

import ray
from ray.exceptions import RayError

import loopwright
from loopwright.processes import end_with_parent
from loopwright.search.workers import ray_messages as message

REACHED_S = 5.0
"""Within which a machine answers at all."""
STARTED_S = 120.0
"""Within which the first worker has started; it reads PyTorch from a disk that may be slow."""
OBJECT_STORE_BYTES = 512 * 1024**2
"""Of a cluster that is started here: room for a few copies of a network and its images."""
PACKAGES = ("torch", "numpy")
"""What verdicts depend on; it must be the same everywhere."""


def main() -> None:
    """``python -c 'from ...ray_process import main; main()' DESCRIPTOR``."""
    end_with_parent()
    connection = Connection(int(sys.argv[1]))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        order = connection.recv()
        try:
            connection.send(_connected(order))
        except (OSError, RuntimeError, ValueError, RayError) as error:
            connection.send(message.Failed(_first_line(error)))
            return
        _Desk(connection).run()
    ray.shutdown()


def _connected(order: message.Connect) -> message.Connected:
    """Raises an error of any kind where the cluster can't be reached or refuses."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "ignore_reinit_error": False}
    here = partial(
        ray.init, "local", num_cpus=order.processors, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False
    )
    if order.address == "local":
        here(**quiet)
    elif order.address == "auto":
        try:
            ray.init("auto", **quiet)
        except ConnectionError:
            here(**quiet)
    else:
        _require_listening(order.address)
        ray.init(order.address, **quiet)
    machines = [machine for machine in ray.nodes() if machine["Alive"]]
    return message.Connected(int(ray.cluster_resources().get("CPU", 0)), len(machines))


def _require_listening(address: str) -> None:
    """Raises OSError unless something listens at ``HOST:PORT``, for which Ray itself would wait two minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT, such as head:6379, or auto, or local")
    socket.create_connection((host, int(port)), timeout=REACHED_S).close()


class Worker:
    """Works on the pickled ``thing``, in a process of the cluster."""

    def __init__(self, thing: bytes):
        from loopwright.search.workers.work import settle_in

        settle_in()
        self._thing = pickle.loads(thing)
        self._number = -1
        self._work: Any = None

    def versions(self) -> dict[str, str]:
        """Of what the results depend on, by name."""
        return _versions()

    def answer(self, number: int, function: bytes, item: bytes) -> bytes:
        """As `loopwright.search.workers.work.answer`; the function is read once for its number."""
        from loopwright.search.workers.work import answer

        if number != self._number:
            self._number, self._work = number, pickle.loads(function)
        return answer(self._work, self._thing, pickle.loads(item))


def _versions() -> dict[str, str]:
    return {"loopwright": loopwright.__version__} | {name: version(name).partition("+")[0] for name in PACKAGES}


@dataclass(eq=False)
class _Hand:
    """A worker, from here; ``piece`` is what it works on."""

    actor: Any
    piece: int | None = None
    started: bool = False


@dataclass(eq=False)
class _Desk:
    """Gives pieces to workers that have none. Everything happens in `run`'s thread, which others tell by ``events``."""

    connection: Connection
    events: SimpleQueue[Callable[[], None]] = field(default_factory=SimpleQueue)
    hands: list[_Hand] = field(default_factory=list)
    waiting: deque[message.Piece] = field(default_factory=deque)
    functions: dict[int, Any] = field(default_factory=dict)
    thing: Any = None
    open: bool = True

    def run(self) -> None:
        """Until the connection is closed, or nothing can go on."""
        Thread(target=self._listen, daemon=True).start()
        while self.open:
            self.events.get()()

    def _listen(self) -> None:
        with suppress(EOFError, ConnectionResetError):
            while True:
                self.events.put(partial(self._told, self.connection.recv()))
        self.events.put(self._close)

    def _told(self, told: object) -> None:
        match told:
            case message.Start(thing, count):
                self._rest()
                self.thing = ray.put(thing)
                for _ in range(count):
                    self._start()
                self._watch_start()
            case message.Work(number, function):
                self.functions[number] = ray.put(function)
            case message.Piece():
                self.waiting.append(told)
                self._give()
            case message.Rest():
                self._rest()

    def _start(self) -> None:
        hand = _Hand(ray.remote(num_cpus=1, max_restarts=0)(Worker).remote(self.thing))
        self.hands.append(hand)
        self._when_done(hand.actor.versions.remote(), partial(self._started, hand))

    def _watch_start(self) -> None:
        hands = list(self.hands)
        timer = Timer(STARTED_S, lambda: self.events.put(partial(self._require_started, hands)))
        timer.daemon = True
        timer.start()

    def _require_started(self, hands: list[_Hand]) -> None:
        mine = [hand for hand in hands if hand in self.hands]
        if mine and not any(hand.started for hand in self.hands):
            self._fail(f"no worker has started within {STARTED_S:.0f} s; are all of its processors taken?")

    def _when_done(self, reference: Any, then: Callable[[Future[Any]], None]) -> None:
        reference.future().add_done_callback(lambda done: self.events.put(partial(then, done)))

    def _started(self, hand: _Hand, done: Future[Any]) -> None:
        if hand not in self.hands:
            return
        error = done.exception()
        if error is not None:
            self._fail(f"a worker can't start there ({_last_line(error)}); is Loopwright installed on every machine?")
            return
        for name, own in _versions().items():
            if done.result()[name] != own:
                self._fail(f"a worker has {name} {done.result()[name]}, this machine {own}; install the same")
                return
        hand.started = True
        self._give()

    def _give(self) -> None:
        for hand in self.hands:
            if self.waiting and hand.started and hand.piece is None:
                piece = self.waiting.popleft()
                hand.piece = piece.number
                reference = hand.actor.answer.remote(piece.work, self.functions[piece.work], piece.item)
                self._when_done(reference, partial(self._answered, hand, piece.number))

    def _answered(self, hand: _Hand, number: int, done: Future[Any]) -> None:
        if hand not in self.hands:
            return
        error = done.exception()
        if error is None:
            hand.piece = None
            self._tell(message.Answer(number, done.result()))
        else:
            self.hands.remove(hand)
            ray.kill(hand.actor)
            self._start()
            self._tell(message.Lost(number, f"a Ray worker was lost ({type(error).__name__})"))
        self._give()

    def _rest(self) -> None:
        for hand in self.hands:
            ray.kill(hand.actor)
        self.hands.clear()
        self.waiting.clear()
        self.functions.clear()

    def _fail(self, reason: str) -> None:
        self._tell(message.Failed(reason))
        self._close()

    def _tell(self, told: object) -> None:
        try:
            self.connection.send(told)
        except (BrokenPipeError, ConnectionResetError):
            self._close()

    def _close(self) -> None:
        self._rest()
        self.open = False


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(error).strip()
    return said.splitlines()[0].rstrip(" .") if said else type(error).__name__


def _last_line(error: BaseException) -> str:
    said = str(error).strip()
    return said.splitlines()[-1].strip() if said else type(error).__name__
