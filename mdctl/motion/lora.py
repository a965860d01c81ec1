"""Named low-rank adapters in a frozen network: the only file that knows peft.

`temporal` learns the motion, `spatial_000`, `spatial_001`, … each the look of one clip; more motions beside one another
are `temporal_001`, … `coupled`, in the layers of both, is what the paper compares itself with.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple, cast

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from mdctl.errors import BadInput, Refused
from mdctl.motion import chance
from mdctl.motion.backbone import Layers
from mdctl.motion.eightbit import is_narrow
from mdctl.motion.kernels import add_low_rank
from mdctl.motion.noise import draw_seed, generator

TEMPORAL, SPATIAL, COUPLED = "temporal", "spatial", "coupled"


def spatial_name(clip: int) -> str:
    """The name of the adapter that holds the look of this clip."""
    return f"{SPATIAL}_{clip:03d}"


def temporal_name(place: int) -> str:
    """The name of the adapter that holds one of several motions."""
    return f"{TEMPORAL}_{place:03d}" if place else TEMPORAL


def kind_of(name: str) -> str:
    """What an adapter of this name is written as: `temporal`, or `spatial` for all others."""
    return TEMPORAL if name.partition("_")[0] == TEMPORAL else SPATIAL


@dataclass(frozen=True)
class AdapterCard:
    """What a weight file says of itself; without date, run or path, so that equal weights are equal files."""

    kind: str
    """`temporal` or `spatial`."""

    rank: int
    base: str
    """Fingerprint of the base model it was trained on."""

    targets: str
    """The pattern that its layers' names match."""

    objective: str = "ad"
    version: int = 1
    base_precision: str = ""
    """`int8` where the base model's weights were rounded to 8 bits, so that on those as they are it is inexact."""

    def told(self) -> str:
        """As a weight file says it."""
        about = asdict(self)
        if not self.base_precision:
            del about["base_precision"]
        return json.dumps(about, sort_keys=True)


class Branch(NamedTuple):
    """What one adapter adds to one layer: B·A, beside the layer's own weight (equation 3)."""

    layer: str
    """Full name of the module."""

    a: nn.Parameter
    """Down to the rank."""

    b: nn.Parameter
    """Up again."""


class Adapters:
    """Adapters laid into a network, none of which speaks until it is asked to."""

    def __init__(self, network: nn.Module, layers: Layers, ranks: Mapping[str, int], dropout: float = 0.0) -> None:
        self.layers = layers
        self.ranks = dict(ranks)
        self.names = tuple(ranks)
        device = next(network.parameters()).device
        first, *others = self.names
        self.model = PeftModel(network, self._config(first, dropout), adapter_name=first)
        for name in others:
            self.model.add_adapter(name, self._config(name, dropout))
        lora = {place: module for place, module in network.named_modules() if isinstance(module, LoraLayer)}
        self._branches: dict[str, tuple[Branch, ...]] = {
            name: tuple(
                Branch(place, layer.lora_A[name].weight, layer.lora_B[name].weight)
                for place, layer in lora.items()
                if name in layer.lora_A
            )
            for name in self.names
        }
        laid = {name: {one.layer: one for one in branches} for name, branches in self._branches.items()}
        for number, (place, layer) in enumerate(lora.items()):
            layer.forward = self._forward(
                layer.base_layer, {name: at[place] for name, at in laid.items() if place in at}, number
            )
        network.eval()
        network.requires_grad_(False)
        self._scales: dict[str, float] = {}
        self._learning: Set[str] = frozenset()
        self._last_of: int | None = None
        self._dropout = dropout
        self._seed: int | None = None
        """Of the dropout, where it is at work."""

        self._chance = torch.zeros(1, dtype=torch.int64, device=device) if chance.usable(device) else None
        """The seed as kernels read it."""

        self._bases = {place: layer.base_layer for place, layer in lora.items()}
        self._rounded = is_narrow(network)
        self._merged: tuple[dict[str, float], list[tuple[nn.Linear, nn.Parameter]]] | None = None
        """At which scales, and what each layer's weight is then."""

    def _config(self, name: str, dropout: float) -> LoraConfig:
        return LoraConfig(
            r=self.ranks[name],
            lora_alpha=self.ranks[name],
            lora_dropout=dropout,
            init_lora_weights="gaussian",
            target_modules=self.pattern(name),
        )

    def pattern(self, name: str) -> str:
        """The pattern of the layers that this adapter is laid into."""
        if name == COUPLED:
            return f"(?:{self.layers.spatial})|(?:{self.layers.temporal})"
        return self.layers.temporal if kind_of(name) == TEMPORAL else self.layers.spatial

    def draw(self, seed: int) -> None:
        """Give every branch its first weights, A from N(0, 1/r²) and B zero, as a function of seed and name alone."""
        self._merged = None
        for name in self.names:
            for place, branch in enumerate(self._branches[name]):
                source = generator(seed, f"init/{name}", place)
                branch.a.data.copy_(torch.randn(branch.a.shape, generator=source) / self.ranks[name])
                branch.b.data.zero_()

    @contextmanager
    def speaking(
        self, scales: Mapping[str, float], learning: Set[str] = frozenset(), last_of: int | None = None
    ) -> Iterator[None]:
        """Let these adapters speak, each at its scale, and let some of them learn; none speaks afterwards.

        With `last_of` n the spatial ones learn from the last of every n frames alone, and are frozen for the others.
        `backward()` has to stay inside: a checkpointed forward runs again there. `KeyError` for an unknown adapter.
        """
        for name in (*scales, *learning):
            self._branches[name]
        self._switch(scales, learning, last_of)
        try:
            yield
        finally:
            self._switch({}, frozenset(), None)

    @contextmanager
    def merged(self, scales: Mapping[str, float]) -> Iterator[None]:
        """Let these adapters speak as part of the layers' weights; those are back afterwards, to the last bit.

        The sums are taken in float32 from the weights as they came and rounded once, so that they are as near to the
        truth as adapters beside the weights. Of all weights only those that change are there twice, until something
        learns. `Refused` for a base in 8 bits, whose steps are coarser than what an adapter adds.
        """
        if not scales:  # nobody speaks, and the sums are kept for the next time
            yield
            return
        if self._merged is None or self._merged[0] != dict(scales):
            self._merged = None  # makes room for the next
            self._merged = dict(scales), self._sums(scales)
        _, sums = self._merged
        plain: list[tuple[nn.Linear, Tensor]] = [(base, base.weight) for base, _ in sums]
        _put(sums)
        try:
            yield
        finally:
            _put(plain)

    def _sums(self, scales: Mapping[str, float]) -> list[tuple[nn.Linear, nn.Parameter]]:
        speakers: dict[str, list[tuple[float, Branch]]] = {}
        for name, scale in scales.items():
            for branch in self._branches[name]:
                speakers.setdefault(branch.layer, []).append((scale, branch))
        return [(self._bases[layer], self._sum(self._bases[layer], those)) for layer, those in speakers.items()]

    @staticmethod
    def _sum(base: nn.Linear, speakers: Sequence[tuple[float, Branch]]) -> nn.Parameter:
        if not base.weight.is_floating_point():
            raise Refused(
                "adapters cannot be merged into a base in 8 bits.",
                why="it would round most of what they add away.",
                fix="--no-merged",
            )
        total = base.weight.detach().float()
        for scale, branch in speakers:
            total = total + scale * (branch.b.detach() @ branch.a.detach())
        return nn.Parameter(total.to(base.weight.dtype), requires_grad=False)

    def _switch(self, scales: Mapping[str, float], learning: Set[str], last_of: int | None) -> None:
        # Nothing here walks over all layers of all adapters: a step costs the same however many clips there are.
        self._scales, self._last_of = dict(scales), last_of
        if learning:
            self._merged = None
        for name in self._learning ^ learning:
            for parameter in self.parameters(name):
                parameter.requires_grad_(name in learning)
        self._learning = frozenset(learning)

    def _forward(self, base: nn.Module, branches: Mapping[str, Branch], stream: int) -> Callable[[Tensor], Tensor]:
        """What a layer answers: its own, and what those add that speak in it; peft's asks every adapter in turn."""

        def forward(x: Tensor) -> Tensor:
            speakers = [
                (kind_of(name), scale, branches[name]) for name, scale in self._scales.items() if name in branches
            ]
            if not speakers:
                return cast(Tensor, base(x))
            answer: Tensor = base(x.flatten(0, -2))
            for kind, scale, branch in speakers:
                last_of = self._last_of if kind == SPATIAL else None
                dropout = 0.0 if self._seed is None else self._dropout
                drawn = None if self._chance is None else chance.Chance(self._chance, stream)
                answer = add_low_rank(answer, x, branch.a, branch.b, scale, dropout, last_of, drawn)
            total: Tensor = answer.unflatten(0, x.shape[:-1])
            return total

        return forward

    def drop_out(self, seed: int | None) -> None:
        """Let the dropout of all adapters draw from this seed, or rest."""
        self._seed = seed

    def turn(self, number: int) -> None:
        """Begin the pass of this number within a step (0, 1, …), whose dropout is its own.

        Where torch draws the masks they differ by themselves.
        """
        if self._chance is not None and self._seed is not None:
            self._chance.fill_(draw_seed(self._seed, "pass", number))

    def parameters(self, name: str) -> list[nn.Parameter]:
        """The weights of one adapter, in the order of its layers."""
        return [weight for branch in self._branches[name] for weight in (branch.a, branch.b)]

    def silent(self, name: str) -> bool:
        """Whether an adapter has learned nothing yet: with B zero it changes no layer's answer."""
        return not any(bool(branch.b.any()) for branch in self._branches[name])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A copy of one adapter's weights by the names of its layers, float32 on the CPU."""
        return {key: w.detach().to("cpu", torch.float32, copy=True) for key, w in self._weights(name).items()}

    def _weights(self, name: str) -> dict[str, nn.Parameter]:
        found = {}
        for layer, a, b in self._branches[name]:
            found[f"{layer}.lora_A.weight"], found[f"{layer}.lora_B.weight"] = a, b
        return found

    def card(self, name: str, base: str, objective: str = "ad") -> AdapterCard:
        """What a file of one adapter says of itself."""
        rounded = "int8" if self._rounded else ""
        return AdapterCard(kind_of(name), self.ranks[name], base, self.pattern(name), objective, base_precision=rounded)

    def load(self, name: str, file: bytes, where: str) -> None:
        """Fill one adapter from a file, or refuse it with all its misfits in one error."""
        tensors = read_tensors(file, where)
        wanted = self._weights(name)
        faults = [f"no {key}" for key in wanted if key not in tensors]
        faults += [f"no place for {key}" for key in tensors if key not in wanted]
        faults += [
            f"{key} is {tuple(tensors[key].shape)}, not {tuple(weight.shape)}"
            for key, weight in wanted.items()
            if key in tensors and tensors[key].shape != weight.shape
        ]
        faults += [f"{key} holds numbers that are not finite" for key, t in tensors.items() if not t.isfinite().all()]
        if faults:
            raise Refused(
                f"{where} does not fit this base model.",
                why="; ".join(faults[:3]) + (f"; and {len(faults) - 3} more misfits" if len(faults) > 3 else ""),
                fix="use the base model it was trained on, or train again with --fresh",
                code="MD-LORA-MISFIT",
            )
        for key, weight in wanted.items():
            weight.data.copy_(tensors[key])
        self._merged = None


def _put(weights: Sequence[tuple[nn.Linear, Tensor]]) -> None:
    """Give layers these weights; no number moves."""
    for layer, weight in weights:
        layer._parameters["weight"] = weight  # type: ignore[assignment]


def pack(tensors: Mapping[str, Tensor], card: AdapterCard) -> bytes:
    """One adapter's weights, by the names of its layers, as a file that says what it is."""
    return save_tensors(dict(tensors), {"mdctl": card.told()})


def misfits(file: bytes, where: str, network: nn.Module, rank: int) -> list[str]:
    """What in a weight file that says this rank has no place in a network, which may be one without weights."""
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    tensors = read_tensors(file, where)
    found = [] if tensors else ["it holds no weights"]
    for key, tensor in tensors.items():
        layer, _, half = key.partition(".lora_")
        if layer not in layers:
            found.append(f"there is no {layer}")
        elif tensor.dim() != 2:
            found.append(f"{key} is no matrix")
        elif half == "A.weight" and tensor.shape[1] != layers[layer].in_features:
            found.append(f"{layer} takes {layers[layer].in_features} and not {tensor.shape[1]}")
        elif half == "B.weight" and tensor.shape[0] != layers[layer].out_features:
            found.append(f"{layer} gives {layers[layer].out_features} and not {tensor.shape[0]}")
        elif rank not in tensor.shape:
            found.append(f"{key} is {tuple(tensor.shape)}, which is not of rank {rank}")
    return found


def read_tensors(file: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        tensors: dict[str, Tensor] = load_tensors(file)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as fault:
        raise Refused(f"{where} is no readable safetensors file.", why=str(fault), fix="use another save") from fault
    return tensors


def card_of(file: bytes, where: str) -> AdapterCard:
    """What a weight file says of itself."""
    try:
        size = int.from_bytes(file[:8], "little")
        header = json.loads(file[8 : 8 + size])
        card = AdapterCard(**json.loads(header["__metadata__"]["mdctl"]))
        counts = type(card.rank) is int and card.rank > 0
        if card.kind not in (TEMPORAL, SPATIAL) or not counts or type(card.base) is not str or card.version != 1:
            raise ValueError("a record of another kind")
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise Refused(
            f"{where} does not say what it is.",
            why="it carries no record that this mdctl can read.",
            fix="use a save made by mdctl train",
        ) from fault
    return card


def hosts(network: nn.Module, pattern: str) -> dict[str, nn.Linear]:
    """The layers that an adapter of this pattern is laid into, by their full names, in the order of the network."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(pattern, name)
    }


def extent(network: nn.Module, pattern: str, rank: int) -> tuple[int, int]:
    """How many layers an adapter of this pattern is laid into, and how many parameters it has."""
    layers = hosts(network, pattern).values()
    return len(layers), sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def widest_rank(network: nn.Module, layers: Layers) -> int:
    """The narrowest width among the layers an adapter would be laid into; no rank may be larger."""
    adapted = [*hosts(network, layers.spatial).values(), *hosts(network, layers.temporal).values()]
    widths = [min(layer.in_features, layer.out_features) for layer in adapted]
    if not widths:
        raise BadInput("this model has no layers that mdctl knows how to adapt.", fix="mdctl models list")
    return min(widths)
