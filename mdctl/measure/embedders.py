"""Models that put pictures and words into one space: CLIP and PickScore, when the user has their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoProcessor, CLIPModel, ViTModel
from transformers.utils import cached_file
from transformers.utils.logging import disable_progress_bar

from mdctl.errors import NotInstalled
from mdctl.measure.flow import Values
from mdctl.media.frames import Frames, resized

CLIP = "openai/clip-vit-large-patch14"
PICKSCORE = "yuvalkirstain/PickScore_v1"
PICKSCORE_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
CLIP_B32 = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vitb16"

WEIGHTS = {"CLIP": [CLIP], "PickScore": [PICKSCORE, PICKSCORE_PROCESSOR], "DINO": [DINO], "CLIP ViT-B/32": [CLIP_B32]}
"""What each is loaded from unless another folder is named."""

EDGE = 480
"""LOVEU-TGVE looks at frames of this size, whatever their shape."""

BATCH = 8


@dataclass(frozen=True)
class Embedder:
    """A loaded model, and what belongs into the name of its figures."""

    id: str
    """Its name, and which weights lay there under it."""

    logit_scale: float
    """As a factor, 100 for CLIP ViT-L/14."""

    model: Any
    processor: Any
    edge: int | None = EDGE
    """Both sides of the frames before the processor sees them; None leaves them as they are."""

    @torch.no_grad()
    def images(self, frames: Frames) -> Values:
        """Unit embeddings of frames, (f, d)."""
        found = []
        for first in range(0, len(frames), BATCH):
            taken = frames[first : first + BATCH]
            part = list(taken if self.edge is None else resized(taken, self.edge, self.edge))
            inputs = self.processor(images=part, return_tensors="pt")
            found.append(_unit(self.model.get_image_features(pixel_values=inputs["pixel_values"])))
        return np.concatenate(found)

    @property
    def limit(self) -> int:
        """So many tokens of a prompt are read, 77 by CLIP, with those that mark its ends."""
        return int(self.model.config.text_config.max_position_embeddings)

    def cuts(self, prompt: str) -> bool:
        """Whether a prompt is longer than that."""
        return len(self.processor(text=prompt, truncation=True, max_length=self.limit + 1)["input_ids"]) > self.limit

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> Values:
        """Unit embeddings of prompts, (n, d), as far as they are read."""
        inputs = self.processor(
            text=list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        )
        taken = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        return _unit(self.model.get_text_features(**taken))


@dataclass(frozen=True)
class ImageEmbedder:
    """A loaded model that knows pictures only."""

    id: str
    model: Any
    processor: Any

    @torch.no_grad()
    def images(self, frames: Frames) -> Values:
        """Unit embeddings of frames, (f, d): of the class token, as DINO was trained and VBench uses it."""
        found = []
        for first in range(0, len(frames), BATCH):
            inputs = self.processor(images=list(frames[first : first + BATCH]), return_tensors="pt")
            found.append(_unit(self.model(inputs["pixel_values"]).last_hidden_state[:, 0]))
        return np.concatenate(found)


def _unit(features: Any) -> Values:
    # Newer versions of transformers answer with an object that holds the features.
    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    found: Values = torch.nn.functional.normalize(tensor.float(), dim=-1).double().numpy()
    return found


def load(name: str, processor: str | None = None, edge: int | None = EDGE) -> Embedder:
    """The model in this folder, or of this hub id if it was downloaded before; nothing is fetched and no code runs.

    Raises:
        NotInstalled: it is not there, with the line that gets it.
    """
    model, reader = _loaded(CLIPModel, AutoProcessor, name, processor)
    return Embedder(_identity(name), float(model.logit_scale.detach().exp()), model, reader, edge)


def without(called: str) -> str:
    """Why a figure is not there for want of these weights, with the line that gets them."""
    return f"no weights of {called} on this computer ({' && '.join(_gets(WEIGHTS[called]))})"


def _gets(names: Sequence[str]) -> list[str]:
    return [f"hf download {name}" for name in names]


def clip_b32(name: str) -> Embedder:
    """CLIP as VBench and MTBench use it: the smaller one, on frames as they are. Raises as `load` does."""
    return load(name, edge=None)


def dino(name: str) -> ImageEmbedder:
    """DINO, a model of pictures without words. Raises as `load` does."""
    # Its weights hold no pooling layer: one that were asked for would be drawn by chance.
    model, reader = _loaded(ViTModel, AutoImageProcessor, name, None, add_pooling_layer=False)
    return ImageEmbedder(_identity(name), model, reader)


def _loaded(kind: Any, reader: Any, name: str, processor: str | None, **how: Any) -> tuple[Any, Any]:
    disable_progress_bar()  # the screen belongs to the caller
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = kind.from_pretrained(name, use_safetensors=True, **given, **how).eval()
        return model, reader.from_pretrained(processor or name, **given)
    except (OSError, ValueError) as fault:
        needed = [part for part in (name, processor) if part and not Path(part).is_dir()]
        raise NotInstalled(
            f"the weights of {name} are not on this computer.",
            why=str(fault).splitlines()[0],
            fix=_gets(needed) or "give a folder that holds the whole model",
        ) from fault


def _identity(name: str) -> str:
    """The name, with what tells these weights from others under it: the hub's revision, or the state of the files.

    A hash of what they hold would take long, and one of their ends would miss a fine-tune of the middle.
    """
    folder = Path(name)
    if not folder.is_dir():
        found = cached_file(name, "config.json", local_files_only=True)
        return f"{name}@{Path(found).parent.name[:12]}"
    states = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    told = repr([(file, state.st_size, state.st_mtime_ns) for file, state in states])
    return f"{name}@{blake2b(told.encode(), digest_size=6).hexdigest()}"


def pickscore(name: str) -> Embedder:
    """PickScore, whose repository lacks the processor: a folder has to hold both."""
    return load(name, None if Path(name).is_dir() else PICKSCORE_PROCESSOR)
