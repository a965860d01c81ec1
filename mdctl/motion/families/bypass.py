"""How temporal layers are kept from frames that belong to no clip: one alone, and one that is appended to a clip."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Appended:
    """Whether the last frame that a network sees is one beside the clip; shared by all its temporal layers."""

    def __init__(self) -> None:
        self.there = False

    @contextmanager
    def here(self) -> Iterator[None]:
        """It is, as long as this lasts."""
        self.there = True
        try:
            yield
        finally:
            self.there = False


def keep_out(module: nn.Module, appended: Appended) -> None:
    """Make a temporal layer return a single frame, and a frame that is appended to a clip, as it is.

    The first choice hangs on the input alone, so that a checkpointed forward makes it again in backward.
    """
    stock = module.forward
    places = list(inspect.signature(stock).parameters)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(places[1:], args, strict=False)) | kwargs  # some callers name the frames, some do not
        frames = given.get("num_frames", 1)
        tupled = not given.get("return_dict", True)
        if frames - appended.there == 1:
            return (hidden_states,) if tupled else hidden_states
        if not appended.there:
            return stock(hidden_states, **given)
        clip, beside = hidden_states.unflatten(0, (-1, frames)).split((frames - 1, 1), 1)
        answer = stock(clip.flatten(0, 1), **given | {"num_frames": frames - 1})
        seen = (answer[0] if tupled else answer).unflatten(0, (-1, frames - 1))
        joined = torch.cat([seen, beside], 1).flatten(0, 1)
        return (joined,) if tupled else joined

    module.forward = forward
