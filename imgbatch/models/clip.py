"""Texts enter; their embeddings leave, to be compared with those of pictures by the same network.

A description such as "a photo of a protest at night" lies near the pictures that it describes: the
product of two embeddings is their cosine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imgbatch.errors import SettingsError
from imgbatch.models.choice import Choice, network
from imgbatch.models.devices import need, torch_device
from imgbatch.models.weights import fetch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imgbatch.models.choice import Network

BATCH = 64
ENDS = 2  # tokens that mark a text's beginning and end


def text_embeddings(chosen: Choice | str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the embeddings of texts by a CLIP network, in float32.

    Words are taken apart by what open_clip brings along: no hub is asked.

    Args:
        chosen: a model of the registry by name, or the settings of the analyzer `clip`, whose
            embeddings of pictures these are to be compared with.
        texts: any number.

    Returns:
        (number of texts, dimension), each row of length 1.

    Raises:
        SettingsError: a text is longer than the model reads, or empty (its remedy is about that);
            there is no such CLIP model.
        WeightsError: its weights cannot be had, or do not fit.
        MissingExtraError: torch or open_clip is not installed.
    """
    choice = Choice(model=chosen) if isinstance(chosen, str) else chosen
    chosen_network = network(choice, "clip")
    torch = need("torch")
    need("open_clip")
    model, tokenizer = _loaded(chosen_network)
    _check(texts, tokenizer)
    device = torch_device()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            tokens = tokenizer(list(texts[start : start + BATCH])).to(device)
            rows.append(model.encode_text(tokens, normalize=True).float().cpu().numpy())
    if not rows:
        return np.empty((0, model.text_projection.shape[-1]), np.float32)
    return np.concatenate(rows)


def logit_scale(chosen: Choice | str) -> float:
    """Return what a CLIP network multiplies cosines by before their softmax; 100 as published.

    Args:
        chosen: as for `text_embeddings`.

    Raises:
        SettingsError, WeightsError, MissingExtraError: as for `text_embeddings`.
    """
    choice = Choice(model=chosen) if isinstance(chosen, str) else chosen
    need("torch")
    need("open_clip")
    model, _ = _loaded(network(choice, "clip"))
    return float(model.logit_scale.detach().float().exp())


@lru_cache(maxsize=1)
def _loaded(chosen: Network) -> tuple[Any, Any]:
    import open_clip  # noqa: PLC0415 - of the extra `models`, and seconds

    from imgbatch.models.networks import clip  # noqa: PLC0415 - it imports torch

    model = clip(chosen.builder, fetch(chosen.weights)).to(torch_device())
    return model, open_clip.get_tokenizer(chosen.builder)


def _check(texts: Sequence[str], tokenizer: Any) -> None:
    """Refuse what would be cut off unseen."""
    most = tokenizer.context_length - ENDS
    for text in texts:
        count = len(tokenizer.encode(text))
        if not text.strip():
            raise SettingsError(
                "a text to compare pictures with is empty", "Say what the pictures show."
            )
        if count > most:
            raise SettingsError(
                f"the model reads {most} tokens, and {text[:40]!r}... has {count}",
                "Say it shorter: a token is a word or a part of one.",
            )
