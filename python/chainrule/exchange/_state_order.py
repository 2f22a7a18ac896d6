"""The modules of a state dictionary, in the order in which they compute; used by _state_dict.py.

A dictionary does not say the order. PyTorch writes it as modules are defined; files are sorted by
name, which puts fc10 before fc2, or in no order at all. Between layers of equal widths another
order is another network that fits as well, so an order is used only where nothing else can be
meant:

- names that differ in numbers alone are in the order of these numbers;
- else the shapes say it, where the modules chain in a single order in which numbers ascend;
- else the dictionary does, where it stands as PyTorch wrote it.

All else is refused, and so is what looks like several networks: the caller says `order` or
`prefix`.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from .. import _arguments

__all__ = ["NAMES", "Module", "modules_of"]

# In the order in which PyTorch writes them.
NAMES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# What torch.compile and DataParallel put around a module. "module" may be anyone's name: it is a
# wrapper where it stands before all others.
_COMPILED, _PARALLEL = "_orig_mod", "module"
# A part of a name says what a network is for, so that two of them are two networks (or two heads).
_ROLES = frozenset(
    {
        *("actor", "critic", "policy", "value", "advantage", "pi", "vf", "qf", "target", "online"),
        *("mu", "mean", "sigma", "std", "logstd", "var", "logvar", "reward", "head", "heads"),
        *("q", "k", "v", "query", "key", "generator", "discriminator", "teacher", "student"),
    }
)
# Modules may be defined in another order than they compute in: names of the first and the last.
_FIRST = frozenset({"in", "inp", "input", "inputs", "first"})
_LAST = frozenset({"out", "outp", "output", "outputs", "last", "final"})
# Parameters of two dimensions that are no Linear's, or that are added to one.
_OTHERS = frozenset({"embed", "embedding", "embeddings", "emb", "lora"})
# A dictionary of n modules with m entries stands by chance as PyTorch writes them, each module's
# together, in n! of m! orders. Where that is rarer, it was not shuffled.
_CHANCE = 1e-6
_MOST_STATES = 20_000
_MOST_MODULES = 200
_MOST_LISTED = 20


@dataclass(frozen=True)
class Module:
    """The entries of a module.

    Attributes
    ----------
    name : str
        What stands before the last dot of their keys.
    path : str
        The name without wrappers and without the `prefix` that was asked for.
    entries : dict of str to tensor or array_like
        By what stands after the last dot.
    """

    name: str
    path: str
    entries: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight: of two dimensions a Linear's, of one a normalization's."""
        weight = self.entries["weight"]
        return tuple(weight.shape) if hasattr(weight, "shape") else np.shape(weight)

    @property
    def widths(self) -> tuple[int, int]:
        """How many numbers it takes and gives."""
        return self.shape[-1], self.shape[0]

    def in_words(self) -> str:
        """Name and widths."""
        return f"{self.name!r} ({' to '.join(str(n) for n in self.shape[::-1])})"


def modules_of(
    state_dict: Mapping[str, Any], order: Sequence[str] | None, prefix: str | None
) -> list[Module]:
    """Return the modules of one network, first to last.

    Each has a weight of one or two dimensions and no entries but those of NAMES.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, and for a dictionary that does not say one network for sure.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"state_dict must be a mapping of names to tensors, "
            f"got {_arguments.type_name(state_dict)}"
        )
    nested = [key for key, value in state_dict.items() if isinstance(value, Mapping)]
    if nested:
        raise ValueError(
            f"state_dict must be a mapping of names to tensors, got one of mappings: "
            f"is it state_dict[{nested[0]!r}]?"
        )
    modules = _grouped(state_dict, prefix)
    if not modules:
        raise ValueError("state_dict must hold a Linear at least, got nothing")
    if order is None:
        _check(modules)
        return _sorted(modules, _is_as_written(state_dict, modules))
    return _chosen(modules, order, state_dict)


# --- names ---------------------------------------------------------------------------------------


def _grouped(state_dict: Mapping[str, Any], prefix: str | None) -> list[Module]:
    """Return the modules below a prefix, in the order of the dictionary."""
    entries: dict[str, dict[str, Any]] = {}
    for key, value in state_dict.items():
        name, _, last = str(key).rpartition(".")
        entries.setdefault(name, {})[last] = value
    paths = _paths(list(entries))
    if prefix is not None:
        paths = _below(paths, prefix)
    modules = [Module(name, path, entries[name]) for name, path in paths.items()]
    if len(set(paths.values())) < len(paths):
        _refuse(modules, "names differ in wrappers alone", "leave one of them out")
    return modules


def _paths(names: list[str]) -> dict[str, str]:
    """Return each name without wrappers."""
    parts = {name: [part for part in name.split(".") if part != _COMPILED] for name in names}
    while parts and all(part[:1] == [_PARALLEL] for part in parts.values()):
        parts = {name: part[1:] for name, part in parts.items()}
    return {name: ".".join(part) for name, part in parts.items()}


def _below(paths: dict[str, str], prefix: str) -> dict[str, str]:
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a string, got {_arguments.type_name(prefix)}")
    start = prefix.rstrip(".")
    if not start:
        raise ValueError(f"prefix must name a part of state_dict, got {prefix!r}")
    # As the dictionary has it, or without wrappers.
    for known in ({name: name for name in paths}, paths):
        found = {
            name: path[len(start) + 1 :] for name, path in known.items() if _is_below(path, start)
        }
        if found:
            rest = _paths(list(found.values()))
            return {name: rest[path] for name, path in found.items()}
    raise ValueError(
        f"prefix must be what names in state_dict begin with, {_listed(paths)}, got {prefix!r}"
    )


def _is_below(path: str, start: str) -> bool:
    return path == start or path.startswith(f"{start}.")


def _listed(names: Any) -> str:
    texts = [repr(name) if isinstance(name, str) else name.in_words() for name in names]
    more = f" and {len(texts) - _MOST_LISTED} more" if len(texts) > _MOST_LISTED else ""
    return ", ".join(texts[:_MOST_LISTED]) + more


def _refuse(modules: Sequence[Module], reason: str, remedy: str) -> NoReturn:
    raise ValueError(
        f"state_dict must hold one network in a certain order, got {_listed(modules)}: {reason}; "
        f"{remedy}"
    )


# --- one network ---------------------------------------------------------------------------------


def _check(modules: Sequence[Module], *, named: bool = False) -> None:
    """Raise for entries of no Linear or normalization, and for names unless they were `named`."""
    strays = [
        f"{module.name}.{last}".removeprefix(".")
        for module in modules
        for last in module.entries
        if last not in NAMES
    ]
    if strays:
        raise ValueError(
            f"state_dict must hold entries of Linear, LayerNorm and BatchNorm1d alone, "
            f"got {_listed(strays)}; prefix= or order= takes a part of it"
        )
    for module in modules:
        place = f"state_dict[{module.name!r}]"
        if "weight" not in module.entries:
            raise ValueError(f"{place} must have a weight, got {', '.join(module.entries)}")
        shape = module.shape
        linear = len(shape) == 2 and module.entries.keys() <= {"weight", "bias"}
        if not linear and len(shape) != 1:
            what = "a convolution's weight " if len(shape) > 2 else ""
            raise ValueError(
                f"{place} must be a Linear with a weight of two dimensions, or a normalization "
                f"with one of one, got {what}of shape {shape} with {', '.join(module.entries)}"
            )
    if named:
        return
    for module in modules:
        others = _words(module.path) & _OTHERS
        if others:
            _refuse(modules, f"{module.name!r} is no Linear by its name", "order= names the layers")
        inner = [m for m in modules if m.path.startswith(f"{module.path}." if module.path else "")]
        if len(inner) > 1 or (inner and inner[0] is not module):
            nested = next(m.name for m in inner if m is not module)
            _refuse(modules, f"{nested!r} is within {module.name!r}", "order= names the layers")
    _check_roles(modules)


def _words(path: str) -> set[str]:
    """Return the words of a name in lower case: of valueNet and value_net, value and net."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path)
    return set(re.findall("[a-z]+", spaced.lower()))


def _roles(path: str) -> frozenset[str]:
    """Return what a module is for, with a number right behind it: critic2 is not critic1."""
    found = set()
    parts = path.split(".")
    for i, part in enumerate(parts):
        for role in _words(part) & _ROLES:
            number = "".join(re.findall("[0-9]+", part))
            if role == "heads" and i + 1 < len(parts):  # a list of them
                number += parts[i + 1]
            found.add(role + number)
    return frozenset(found)


def _check_roles(modules: Sequence[Module]) -> None:
    """Raise where modules are for different things, as an actor and a critic are."""
    roles = [(_roles(module.path), module) for module in modules]
    longest, last = max(roles, key=lambda pair: len(pair[0]))
    for role, module in roles:
        if not role <= longest:
            reason = f"{module.name!r} and {last.name!r} seem to be of several networks"
            _refuse(modules, reason, "prefix= or order= takes one of them")


def _check_parallel(modules: Sequence[Module], depth: int = 0) -> None:
    """Raise where parts of the names hold networks of two layers and more on the same inputs.

    They may follow each other, where outputs are as many as inputs, or stand side by side.
    """
    groups: dict[str, list[Module]] = {}
    for module in modules:
        parts = module.path.split(".")
        groups.setdefault(parts[depth] if depth < len(parts) else "", []).append(module)
    networks = [
        linears
        for group in groups.values()
        if len(linears := [module for module in group if len(module.shape) == 2]) > 1
    ]
    if len(networks) > 1 and len({network[0].widths[0] for network in networks}) == 1:
        names = " and ".join(repr(network[0].name) for network in networks[:2])
        reason = f"{names} may begin two networks"
        _refuse(modules, reason, "prefix= takes one of them, order= says that they are one")
    for group in groups.values():
        if len(group) > 1:
            _check_parallel(group, depth + 1)


# --- order ---------------------------------------------------------------------------------------


def _chosen(
    modules: list[Module], order: Sequence[str], state_dict: Mapping[str, Any]
) -> list[Module]:
    """Return the modules that a caller names, or those below a name."""
    if isinstance(order, str | bytes) or not isinstance(order, Sequence):
        raise TypeError(
            f"order must be a sequence of names of layers, got {_arguments.type_name(order)}"
        )
    if not order:
        raise ValueError("order must hold the name of a layer at least, got none")
    found: list[Module] = []
    for i, item in enumerate(order):
        if not isinstance(item, str):
            raise TypeError(f"order[{i}] must be a string, got {_arguments.type_name(item)}")
        exact = [module for module in modules if item in (module.path, module.name)]
        if exact:
            _check(exact, named=True)
        else:
            try:
                paths = _below({m.name: m.path for m in modules}, item)
            except ValueError:
                raise ValueError(
                    f"order[{i}] must name a layer of state_dict, or what such names begin with, "
                    f"{_listed(m.name for m in modules)}, got {item!r}"
                ) from None
            exact = [Module(m.name, paths[m.name], m.entries) for m in modules if m.name in paths]
            _check(exact)
            exact = _sorted(exact, _is_as_written(state_dict, exact))
        twice = {module.name for module in exact} & {module.name for module in found}
        if twice:
            raise ValueError(f"order must name each layer once, got {min(twice)!r} twice")
        found += exact
    return found


def _template(path: str) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """Return a name without its numbers, and these; numbers alone, as 2.0, count as one part."""
    runs = re.findall(r"[0-9]+(?:\.[0-9]+)*", path)
    numbers = tuple(tuple(int(number) for number in run.split(".")) for run in runs)
    return re.sub(r"[0-9]+(?:\.[0-9]+)*", "#", path), numbers


def _sorted(modules: list[Module], as_written: bool) -> list[Module]:
    """Return the modules in the one order that is certain."""
    chains: dict[str, list[tuple[Any, Module]]] = {}
    for module in modules:
        template, numbers = _template(module.path)
        chains.setdefault(template, []).append((numbers, module))
    for chain in chains.values():
        chain.sort(key=lambda pair: pair[0])
        for (a, first), (b, second) in itertools.pairwise(chain):
            if a == b:
                reason = f"{first.name!r} and {second.name!r} have the same numbers"
                _refuse(modules, reason, "order= names the layers")
    ascending = [[module for _, module in chain] for chain in chains.values()]
    if len(ascending) == 1:
        found = ascending[0]
        if as_written and found != modules and _fits(modules):
            _refuse(modules, "numbers and the dictionary say different orders", "order= says which")
    else:
        found = _single_reading(modules, ascending, as_written)
    _check_parallel(found)
    return found


def _single_reading(
    modules: list[Module], ascending: list[list[Module]], as_written: bool
) -> list[Module]:
    """Merge chains of ascending numbers in the only way that fits, or as the dictionary stands."""
    readings = _readings(ascending)
    if readings is not None and len(readings) == 1:
        return readings[0]
    if readings == []:
        _refuse(
            modules,
            "the outputs of one are not the inputs of the next in any order",
            "prefix= or order= takes those of one network",
        )
    places = {module.name: i for i, module in enumerate(modules)}
    ascends = all(
        places[a.name] < places[b.name] for chain in ascending for a, b in itertools.pairwise(chain)
    )
    if as_written and ascends and _fits(modules):
        if _words(modules[0].path) & _LAST or _words(modules[-1].path) & _FIRST:
            _refuse(modules, "names and the dictionary say different orders", "order= says which")
        return modules
    _refuse(
        modules, "they fit in more than one order", "order= says which, or prefix= takes a part"
    )


def _fits(modules: Sequence[Module]) -> bool:
    outputs = [module.widths[1] for module in modules[:-1]]
    return outputs == [module.widths[0] for module in modules[1:]]


def _readings(chains: list[list[Module]]) -> list[list[Module]] | None:
    """Return one or two orders in which all modules fit and each chain stays in order.

    An empty list if there is none; None if there are too many to look at. A normalization may stand
    wherever its width does, before the first Linear as well, though no model here has it there: a
    network that has must not be taken for another one.
    """
    states = math.prod(len(chain) + 1 for chain in chains)
    if states > _MOST_STATES or sum(map(len, chains)) > _MOST_MODULES:
        return None

    @functools.cache
    def count(taken: tuple[int, ...], width: int | None) -> int:
        if all(n == len(chain) for n, chain in zip(taken, chains, strict=True)):
            return 1
        return sum(count(*state) for _, state in _next(taken, width, chains))

    def walk(taken: tuple[int, ...], width: int | None) -> Iterator[list[Module]]:
        steps = list(_next(taken, width, chains))
        if not steps and sum(taken) == sum(map(len, chains)):
            yield []
        for module, state in steps:
            if count(*state):
                for rest in walk(*state):
                    yield [module, *rest]

    start = (0,) * len(chains), None
    if not count(*start):
        return []
    orders = walk(*start)
    return [next(orders)] if count(*start) == 1 else [next(orders), next(orders)]


def _next(
    taken: tuple[int, ...], width: int | None, chains: list[list[Module]]
) -> Iterator[tuple[Module, tuple[tuple[int, ...], int]]]:
    """Yield each module that may be the next one, and the state behind it."""
    for i, chain in enumerate(chains):
        if taken[i] < len(chain):
            module = chain[taken[i]]
            inputs, outputs = module.widths
            if width is None or width == inputs:
                yield module, ((*taken[:i], taken[i] + 1, *taken[i + 1 :]), outputs)


def _is_as_written(state_dict: Mapping[str, Any], modules: Sequence[Module]) -> bool:
    """Return whether modules stand as PyTorch's state_dict() wrote them."""
    names = [module.name for module in modules]
    # state_dict() notes the modules that it came through in this attribute of its result.
    metadata = getattr(state_dict, "_metadata", None)
    if isinstance(metadata, Mapping):
        return [name for name in metadata if name in set(names)] == names
    for module in modules:
        places = [NAMES.index(last) for last in module.entries]
        if places != sorted(places):  # files sort "bias" before "weight"
            return False
    of_keys = [str(key).rpartition(".")[0] for key in state_dict]
    kept = [name for name in of_keys if name in set(names)]
    if kept != [name for module in modules for name in [module.name] * len(module.entries)]:
        return False
    keys = (lambda name: name, str.casefold, lambda name: _natural(name))
    if any(names == sorted(names, key=key, reverse=back) for key in keys for back in (False, True)):
        return False
    log_chance = math.lgamma(len(names) + 1) - math.lgamma(len(kept) + 1)
    return log_chance < math.log(_CHANCE)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers within names by value."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split("([0-9]+)", name)
    ]
