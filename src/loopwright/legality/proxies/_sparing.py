"""Forward passes that leave little in memory for the backward pass.

Autograd saves what gradients are computed from: most of it outputs of concatenations, batch norms and activations,
which cost little to compute again from outputs of convolutions that are in memory anyway. Once a pass has saved
`PLENTY` bytes, such outputs are dropped, and computed again, once, when the backward pass asks for them: by the same
arithmetic on the same values, so that gradients stay the same bit for bit. Convolutions and products are never computed
again, and nor is anything random; modules, their hooks and their buffers see nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from loopwright.memory import give_back, own_bytes

PLENTY = 3 * 2**29
"""Bytes that a pass may save as it is: 1.5 GiB, more than ResNet-34 needs for 128 images of 32x32."""

ROOM, SPARE = 3 * 2**30, 2**30
"""Bytes that the process may have, and that it may take until more is given back."""

DEAREST = 4
"""How many times its own bytes may be written in order to compute an output again; one that takes more is kept, and
later ones are computed from it."""

aten = torch.ops.aten
CHEAP = frozenset({aten.cat, aten.clone, aten.constant_pad_nd, aten.index_select, aten.native_batch_norm})
"""Operations that take little more time than memory does, beside those that PyTorch knows to work by elements."""

Found = TypeVar("Found")


def sparingly(forward: Callable[[], Found], plenty: float = PLENTY) -> Found:
    """What ``forward`` gives, for a backward pass that takes little memory. Where it overwrites what that would need,
    it is called again, and autograd saves all that it wants to, or refuses."""
    operations = _Operations(plenty)
    with saved_tensors_hooks(operations.save, _Saved.get), operations:
        found = forward()
    return forward() if operations.overwritten else found


@dataclass(eq=False)
class _Made:
    """The contents of a storage, all of it one tensor, as the operation that wrote them. ``args`` and ``kwargs`` have a
    `_View` for each tensor; ``cost`` counts the bytes that are written to compute it again, ``roots`` has those of the
    storages that it is computed from. While it is ``wanted`` by so many more nodes of the graph, it is kept once it has
    been computed."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    size: torch.Size
    stride: tuple[int, ...]
    bytes: int
    cost: int
    roots: Mapping[StorageWeakRef, int]
    wanted: int = 0
    _computed: Tensor | None = field(default=None, repr=False)

    @classmethod
    def of(cls, like: Tensor, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Made:
        views = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, _View)]
        made = [view.source for view in views if isinstance(view.source, _Made)]
        roots = {_storage(view.source): _bytes(view.source) for view in views if isinstance(view.source, Tensor)}
        for source in made:
            roots.update(source.roots)
        cost = _bytes(like) + sum(source.cost for source in made)
        return cls(function, args, kwargs, like.shape, like.stride(), _bytes(like), cost, roots)

    def tensor(self) -> Tensor:
        if self._computed is not None:
            return self._computed
        with torch.no_grad():
            args, kwargs = tree_map_only(_View, _View.tensor, (self.args, dict(self.kwargs)))
            computed: Tensor = self.function(*args, **kwargs)
            if computed.stride() != self.stride:
                computed = computed.new_empty_strided(self.size, self.stride).copy_(computed)
        self._computed = computed if self.wanted else None
        return computed

    @property
    def joined(self) -> int | None:
        """The axis that a concatenation is along; none for other operations."""
        if self.function is not aten.cat.default:
            return None
        axis: int = self.args[1] if len(self.args) > 1 else 0
        return axis % len(self.size)

    def no_longer_wanted(self) -> None:
        """By one of the nodes."""
        self.wanted -= 1
        if self.wanted < 1:
            self._computed = None

    def is_all_of(self, tensor: Tensor) -> bool:
        return tensor.shape == self.size and tensor.stride() == self.stride


@dataclass(frozen=True, eq=False)
class _View:
    """A tensor, of what is in memory or of what can be computed again."""

    source: Tensor | _Made
    size: torch.Size
    stride: tuple[int, ...]
    offset: int

    @staticmethod
    def of(tensor: Tensor, made: _Made | None) -> _View:
        source = tensor.detach() if made is None else made
        return _View(source, tensor.shape, tensor.stride(), int(tensor.storage_offset()))

    def tensor(self) -> Tensor:
        if isinstance(self.source, Tensor):
            return self.source
        whole = self.source.tensor()
        return whole if self.is_whole else whole.as_strided(self.size, self.stride, self.offset)

    @property
    def is_whole(self) -> bool:
        """Whether it is all that the source holds."""
        return isinstance(self.source, Tensor) or (self.size, self.stride) == (self.source.size, self.source.stride)


@dataclass(eq=False)
class _Saved:
    """What autograd keeps in place of a tensor that it wants to save, the contents of ``storage`` or part of them."""

    view: _View
    storage: StorageWeakRef
    room: _Room

    def get(self) -> Tensor:
        tensor = self.view.tensor()
        if isinstance(self.view.source, _Made):
            self.view.source.no_longer_wanted()
            self.room.make()
        return tensor


class _Room:
    """Sees to it that what is freed in pieces too small for the next tensors does not fill memory: the process would
    take twice of what it needs."""

    def __init__(self) -> None:
        self._most = ROOM

    def make(self) -> None:
        """Gives free pieces back to the system if the process has taken much since it last did."""
        if own_bytes(os.getpid()) > self._most:
            give_back()
            self._most = max(ROOM, own_bytes(os.getpid()) + SPARE)


class _Operations(TorchDispatchMode):
    """Follows a pass, and remembers how what is in memory was computed."""

    def __init__(self, plenty: float):
        super().__init__()
        self.overwritten = False
        """Whether something was that the backward pass needs as it was."""
        self._plenty, self._bytes, self._saving = plenty, 0, False
        self._room = _Room()
        self._made: dict[StorageWeakRef, _Made] = {}  # what can be computed again
        self._saved: set[StorageWeakRef] = set()  # of these, what autograd has asked for
        self._droppable: dict[_Saved, _Made] = {}  # and what of that is still in memory
        self._kept: set[StorageWeakRef] = set()  # what is in memory until the backward pass

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for held in (self._made, self._saved, self._droppable, self._kept):
            held.clear()

    def __torch_dispatch__(
        self,
        function: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function._schema.is_mutable:
            return self._overwrite(function, args, kwargs)
        if function is aten.detach.default and not self._saving:  # what is read later is detached
            self._keep(_storage(args[0]), _bytes(args[0]))
        result = function(*args, **kwargs)
        if _is_cheap(function):
            self._remember(function, args, kwargs, result)
        return result

    def save(self, tensor: Tensor) -> _Saved:
        """What autograd is to keep of ``tensor``."""
        self._saving = True
        saved = _Saved(_View.of(tensor, None), _storage(tensor), self._room)
        self._saving = False
        made = self._made.get(saved.storage)
        if made is None:
            self._keep(saved.storage, _bytes(tensor))
            return saved
        self._droppable[saved] = made
        if saved.storage not in self._saved:
            self._saved.add(saved.storage)
            self._bytes += made.bytes
        if self._dropping:
            self._drop()
            self._room.make()
        return saved

    @property
    def _dropping(self) -> bool:
        return self._bytes >= self._plenty

    def _drop(self) -> None:
        """What was saved and need not have been."""
        for saved, made in self._droppable.items():
            if saved.storage not in self._kept and self._newly_kept(made) < made.bytes:
                for root, size in made.roots.items():
                    self._keep(root, size)
                made.wanted += 1
                saved.view = replace(saved.view, source=made)
            else:
                self._keep(saved.storage, made.bytes)
        self._droppable.clear()

    def _newly_kept(self, made: _Made) -> int:
        """Bytes that have to be kept for it."""
        return sum(size for root, size in made.roots.items() if root not in self._kept)

    def _keep(self, storage: StorageWeakRef, size: int) -> None:
        self._made.pop(storage, None)
        if storage not in self._kept:
            self._kept.add(storage)
            self._bytes += size

    def _remember(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """How the result was computed, unless it would take too long to compute it again."""
        like = result[0] if isinstance(result, tuple) else result
        if not _is_new(like, args, kwargs):
            return
        compute, args = _again(function, args, result)
        self._add(like, compute, *self._views((args, dict(kwargs))))

    def _add(self, like: Tensor, compute: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if compute is aten.cat.default:
            args = (_flat(*args), *args[1:])
        made = _Made.of(like, compute, args, kwargs)
        for storage in [storage for storage in self._made if storage.expired()]:
            del self._made[storage]
        if made.cost <= DEAREST * made.bytes:
            self._made[_storage(like)] = made

    def _views(self, args: Any) -> Any:
        return tree_map_only(Tensor, lambda tensor: _View.of(tensor, self._made.get(_storage(tensor))), args)

    def _overwrite(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        written = _written(function, args, kwargs)
        before = self._made.get(_storage(written[0])) if written else None
        again = before is not None and written[0] is args[0] and before.is_all_of(args[0]) and _is_cheap(function)
        views = self._views((args, dict(kwargs))) if again else None
        for tensor in written:
            self._forget(_storage(tensor))
        result = function(*args, **kwargs)
        if views is not None and len(written) == 1:
            self._add(args[0], _on_a_copy(function), *views)
        return result

    def _forget(self, storage: StorageWeakRef) -> None:
        """What this storage held, and all that is computed from it; it is about to be overwritten."""
        self.overwritten |= storage in self._kept or storage in self._saved
        for other in [other for other, made in self._made.items() if other == storage or storage in made.roots]:
            del self._made[other]


def _again(function: Any, args: tuple[Any, ...], result: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function, and arguments, that give what ``function`` gave, or the first of several results, once more."""
    if function is not aten.native_batch_norm.default:
        return function, args
    x, weight, bias, _, _, training, momentum, epsilon = args
    if not training:
        return _first_of_batch_norm, args
    if x.is_cpu and x.dtype == torch.float32:
        return _normalised, (x, weight, bias, *(statistic.detach() for statistic in result[1:]))
    return _first_of_batch_norm, (x, weight, bias, None, None, True, momentum, epsilon)


def _normalised(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse: Tensor) -> Tensor:
    """A batch norm by statistics that are known: means and inverse standard deviations."""
    scale = inverse if weight is None else inverse * weight
    return _first_of_batch_norm(x, scale, bias, mean, torch.ones_like(mean), False, 0.0, 0.0)


def _first_of_batch_norm(*args: Any) -> Tensor:
    result: Tensor = aten.native_batch_norm(*args)[0]
    return result


def _on_a_copy(function: Any) -> Callable[..., Tensor]:
    def overwritten(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result: Tensor = function(x.clone(), *args, **kwargs)
        return result

    return overwritten


def _flat(parts: Iterable[_View], dim: int = 0) -> list[_View]:
    """The tensors of a concatenation, those of concatenations among them in the place of those."""
    found: list[_View] = []
    for part in parts:
        source = part.source
        if isinstance(source, _Made) and part.is_whole and source.joined == dim % len(part.size):
            found.extend(source.args[0])
        else:
            found.append(part)
    return found


@cache
def _is_cheap(function: Any) -> bool:
    by_elements = torch.Tag.pointwise in function.tags or function.overloadpacket in CHEAP
    return by_elements and torch.Tag.nondeterministic_seeded not in function.tags


def _written(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors among the arguments that the function writes to."""
    known = function._schema.arguments
    given = {argument.name: value for argument, value in zip(known, args, strict=False)} | dict(kwargs)
    names = [argument.name for argument in known if argument.alias_info and argument.alias_info.is_write]
    return list(_tensors([given.get(name) for name in names]))


def _tensors(nested: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_iter(nested) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> StorageWeakRef:
    """It stays distinct from others for as long as somebody has this."""
    return StorageWeakRef(tensor.untyped_storage())


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _is_new(tensor: Any, *args: Any) -> bool:
    """Whether it is a tensor that is all of its storage, and that of none of the arguments."""
    if not isinstance(tensor, Tensor) or tensor.numel() * tensor.element_size() != _bytes(tensor):
        return False
    return all(_storage(tensor) != _storage(other) for other in _tensors(args))
