"""The judge: structure first, then Fisher Potential, each candidate once in this run or any before."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from itertools import islice

import torch
from torch import nn

from loopwright.legality.capacity import CalibratedCheck
from loopwright.legality.capacity.calibrated import CHECK as CALIBRATED
from loopwright.legality.capacity.comparison import require_comparable
from loopwright.legality.capacity.sequential import CHECK, EXACT, Evidence, Protocol, SequentialTest
from loopwright.legality.proxies.fisher import TITLE
from loopwright.legality.structure import StructureCheck
from loopwright.legality.verdict import Verdict
from loopwright.models.dataflow import dataflow
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.search.candidate import Candidate
from loopwright.search.events import CandidateJudged
from loopwright.search.progress import Progress, SilentProgress
from loopwright.search.reuse import Reuse
from loopwright.search.scoring import (
    BFLOAT16,
    CALIBRATION,
    FLOAT32,
    ORIGINAL,
    Choices,
    Scorer,
    calibration,
    fast_arithmetic,
    judged,
    predicted,
)
from loopwright.search.space import SearchSpace
from loopwright.search.workers import Crew, LocalCrew, Workers
from loopwright.store import Store, VerdictKey
from loopwright.targets.cpu import usable_processors

PANEL_DRAWS = 100
"""Configurations drawn at most for each member of a panel."""
WORTHWHILE = 64
"""Configurations from which on a panel is worth its time."""
HERE = LocalCrew(1)
"""This process alone."""


@dataclass(frozen=True)
class _Question:
    """What is asked of candidates: by which check, under what protocol, and how it is answered."""

    check: str
    protocol: str
    work: Callable[[Scorer, Choices], Verdict]


@dataclass(frozen=True)
class _Rule:
    """What candidates are held to. The ``usual`` question may be answered by an estimate, the ``exact`` one not."""

    usual: _Question
    exact: _Question
    original_score: float


class Judge:
    """Gives verdicts on candidates of a network, out of the store where they are known; ``reuse`` counts how often. A
    context manager that ends its processes.

    As it is made here, it scores every candidate on all images, on ``device`` (by default the network's own).
    """

    def __init__(self, network: Network, minibatch: Minibatch, store: Store, device: str | None = None):
        self._structure = StructureCheck.of(dataflow(network))
        self._store = store
        self._minibatch = minibatch
        self.reuse = Reuse()
        self._progress: Progress = SilentProgress()
        self._network = network_fingerprint(network)
        self._scorer = Scorer(network, minibatch, device)
        self._here: Workers[Scorer] = HERE.workers(self._scorer)
        self._workers: Workers[Scorer] = self._here
        self._protocol, self._panel = EXACT, tuple[Choices, ...]()
        self._calibrated: CalibratedCheck | None = None

    @classmethod
    def for_search(
        cls,
        network: Network,
        space: SearchSpace,
        minibatch: Minibatch,
        store: Store,
        *,
        configurations: int,
        seed: int = 0,
        device: str = "cpu",
        crew: Crew | None = None,
        calibrated: CalibratedCheck | None = None,
        progress: Progress | None = None,
    ) -> Judge:
        """A judge of so many candidates of ``space``. On a processor it takes the processes of ``crew`` (without one, a
        process for each processor that may be used) and no more images than a decision needs
        (`loopwright.legality.capacity.sequential`); the panel is drawn with ``seed``. With ``calibrated``, that check
        takes the place of Fisher Potential. ``progress`` is told of every candidate, with its last verdict."""
        judge = cls(network, minibatch, store, None if device == "cpu" else device)
        judge._progress = progress or SilentProgress()
        judge._calibrated = calibrated
        if device != "cpu":
            return judge
        judge._workers = (crew or LocalCrew(usable_processors())).workers(judge._scorer)
        if calibrated is None and configurations >= WORTHWHILE:
            judge._protocol = Protocol.of(len(minibatch), seed, fast_arithmetic())
            judge._panel = tuple(judge._drawn_panel(space))
        return judge

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Ends the processes, so that nothing runs beside what is timed; they start again when many are judged."""
        self._workers.close()

    @property
    def original_score(self) -> float:
        """The Fisher Potential of the original network; `ArgumentError` where no candidate can be held against it."""
        return self._rule.original_score

    def structure(self, choices: Choices) -> Verdict:
        """Whether the receptive field is kept."""
        verdict = self._by_structure(choices)
        if not verdict.legal:
            self._progress.happened(_judged(choices, verdict))
        return verdict

    def keeps_structure(self, choices: Choices) -> bool:
        """As `structure`, but nobody is told."""
        return self._by_structure(choices).legal

    def capacity(self, choices: Choices) -> Verdict:
        """Whether the Fisher Potential is not below the original's, or the predicted drop in accuracy is within the
        tolerance; asked of each combination of operators once."""
        [verdict] = self.capacities([choices])
        return verdict

    def capacities(self, candidates: Iterable[Choices]) -> Iterator[Verdict]:
        """The same for many candidates, in order; they are drawn a little ahead of the verdicts."""
        given: deque[Choices] = deque()

        def drawn() -> Iterator[Choices]:
            for choices in candidates:
                given.append(choices)
                yield choices

        for verdict in self._verdicts(drawn(), self._rule.usual, self.reuse):
            self._progress.happened(_judged(given.popleft(), verdict))
            yield verdict

    def exact(self, choices: Choices) -> Verdict:
        """The same verdict without an estimate: by the Fisher Potential on all images at once, in this process."""
        [verdict] = self._verdicts([choices], self._rule.exact, workers=self._here)
        return verdict

    def exacts(self, candidates: Iterable[Choices]) -> Iterator[Verdict]:
        """The same for many candidates, in order."""
        yield from self._verdicts(candidates, self._rule.exact)

    def _by_structure(self, choices: Choices) -> Verdict:
        return self._structure.judge({layer: choice.form for layer, choice in choices.items()})

    @cached_property
    def _rule(self) -> _Rule:
        check = self._calibrated
        if check is not None:
            question = _Question(CALIBRATED, check.protocol, partial(predicted, check=check))
            return _Rule(question, question, check.original["fisher"])
        test = self._test()
        exact = SequentialTest.on_all_images(len(self._minibatch), test.original.exact)
        return _Rule(
            _Question(CHECK, self._protocol_text(test), partial(judged, test=test)),
            _Question(CHECK, str(EXACT), partial(judged, test=exact)),
            test.original.exact,
        )

    def _test(self) -> SequentialTest:
        try:
            original, *panel = self._calibration()
        except RuntimeError:
            if self._protocol.arithmetic != BFLOAT16:
                raise
            self._protocol = replace(self._protocol, arithmetic=FLOAT32)  # the network insists on float32 somewhere
            original, *panel = self._calibration()
        require_comparable(TITLE, original.exact)
        return SequentialTest.calibrated(self._protocol, len(self._minibatch), original, panel)

    def _calibration(self) -> list[Evidence]:
        """That of the original and of the panel."""
        question = _Question(CALIBRATION, self._protocol.scored, partial(calibration, protocol=self._protocol))
        scored = self._verdicts([ORIGINAL, *self._panel], question)
        return [Evidence.from_scores(self._protocol, verdict.scores) for verdict in scored]

    def _drawn_panel(self, space: SearchSpace) -> Iterator[Choices]:
        """Configurations that are legal by structure; the same for the same seed, whatever else is judged."""
        rng, size = random.Random(f"panel {self._protocol.seed}"), self._protocol.panel
        drawn = (space.chosen(space.draw(rng)) for _ in range(PANEL_DRAWS * size))
        return islice((choices for choices in drawn if self._by_structure(choices).legal), size)

    def _protocol_text(self, test: SequentialTest) -> str:
        """How verdicts come about: the protocol, and who is on the panel."""
        panel = sha256("\n".join(map(identity, self._panel)).encode()).hexdigest()[:12]
        return f"{test.protocol}: {panel}" if test.protocol.stages else str(EXACT)

    def _verdicts(
        self,
        candidates: Iterable[Choices],
        question: _Question,
        reuse: Reuse | None = None,
        workers: Workers[Scorer] | None = None,
    ) -> Iterator[Verdict]:
        """In the order of the candidates; what the store does not have is worked out and recorded."""
        counts = Reuse() if reuse is None else reuse
        keys: list[VerdictKey] = []
        known: dict[int, Verdict] = {}

        def unknown() -> Iterator[Choices]:
            for number, choices in enumerate(candidates):
                keys.append(self._key(choices, question))
                found = self._store.verdict(keys[number])
                if found is None:
                    counts.made += 1
                    yield choices
                else:
                    counts.found += 1
                    known[number] = found

        number = 0
        for verdict in (workers or self._workers).map(question.work, unknown()):
            while number in known:
                yield known.pop(number)
                number += 1
            self._store.record_verdict(keys[number], verdict)
            yield verdict
            number += 1
        for left in sorted(known):
            yield known[left]

    def _key(self, choices: Choices, question: _Question) -> VerdictKey:
        images = self._minibatch.fingerprint
        return VerdictKey(self._network, identity(choices), question.check, images, question.protocol)


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of a module's structure and of all its parameters and buffers."""
    digest = sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def network_fingerprint(network: Network) -> str:
    """The same of a network's module and of what it computes, which two modules of the same structure may do in two
    ways."""
    code = network.program.graph_module.code
    return sha256(f"{fingerprint(network.module)} {network.input_shape} {code}".encode()).hexdigest()


def _judged(choices: Choices, verdict: Verdict) -> CandidateJudged:
    candidate = Candidate.of({layer: choice.sequence for layer, choice in choices.items()})
    return CandidateJudged(str(candidate), verdict.check, verdict.legal, verdict.reason, verdict.scores)


def identity(choices: Choices) -> str:
    """Equal for candidates that compute the same, whatever their sequences."""
    return "; ".join(f"{layer}: {choice.key}" for layer, choice in sorted(choices.items())) or "identity"
