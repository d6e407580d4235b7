"""TVM's autotuner: every fused operator of the network tuned by MetaSchedule, with the trials that it is given."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from loopwright.baselines.participant import Participant, Ready
from loopwright.baselines.task import Task

if TYPE_CHECKING:
    import tvm
    from torch import nn

TRIALS_OF_A_BATCH = 64
BUILD_S = 120.0
"""TVM's own limit of 30 s is too short for large operators on a busy machine."""


class MetaSchedule(Participant):
    """Relax with `meta_schedule`; operators that got no trial keep TVM's own code. XGBoost guides the search where it
    is installed, otherwise candidates are drawn."""

    name = "metaschedule"
    packages = ("apache-tvm", "psutil", "cloudpickle")
    needs_trials = True

    def version(self, task: Task) -> str:
        return f"{super().version(task)}, {task.trials} trials, {_cost_model()}"

    def prepare(self, source: nn.Module, task: Task) -> Ready:
        """Tunes, then compiles with the best that was found."""
        import tvm
        from tvm import relax
        from tvm.s_tir.meta_schedule.relax_integration import compile_relax

        from loopwright.lowering.threads import set_threads

        module, target = _relax_module(source, task), tvm.target.Target(task.hardware.tvm_target)
        executable = compile_relax(_tuned(module, target, task), module, target, params=None)
        set_threads(task.threads)
        machine = relax.VirtualMachine(executable, tvm.cpu())
        return Ready(partial(machine["main"], tvm.runtime.tensor(task.images())))


def _relax_module(module: nn.Module, task: Task) -> tvm.IRModule:
    """The network by TVM's own importer, its weights bound as constants."""
    import torch
    import tvm
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program

    program = torch.export.export(module, (torch.from_numpy(task.images()),))
    imported = from_exported_program(program, unwrap_unit_return_tuple=True)
    simplify = [relax.transform.DecomposeOpsForInference(), relax.transform.CanonicalizeBindings()]
    return tvm.transform.Sequential([*simplify, relax.transform.FoldConstant()])(imported)


def _tuned(module: tvm.IRModule, target: tvm.target.Target, task: Task) -> Any:
    """The database of what was tried, the trials spread over all operators."""
    from tvm.s_tir.meta_schedule.builder import LocalBuilder
    from tvm.s_tir.meta_schedule.relax_integration import extract_tasks, tune_relax

    fused = _fused(module, target)
    operators = max(1, len(extract_tasks(fused, target)))
    return tune_relax(
        fused,
        {},
        target,
        str(task.folder / "metaschedule"),
        max_trials_global=task.trials,
        num_trials_per_iter=max(1, min(TRIALS_OF_A_BATCH, task.trials // operators)),
        builder=LocalBuilder(max_workers=task.threads, timeout_sec=BUILD_S),
        cost_model=_cost_model(),
        seed=task.seed,
    )


def _fused(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """The operators as `compile_relax` looks them up in the database: lowered and fused by the same passes."""
    import tvm
    from tvm import relax

    passes = [
        *relax.pipeline.library_dispatch_passes(target),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(passes)(module)


def _cost_model() -> str:
    return "xgb" if find_spec("xgboost") else "random"
