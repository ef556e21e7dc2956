"""A folder of JPEGs in, ResNet50 embeddings out, through Ray Data and torch, as its documentation
writes batch inference on images: `peer_ray_torch WEIGHTS FOLDER OUT`.

`read_images`, a row-wise transform, and an actor pool with the network. Of a machine's cores one is
left to reading; with none left the pipeline stands still.
"""  # noqa: D205 - the first sentence takes two lines

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import ray
import ray.data
import torch
from torchvision import transforms
from torchvision.models import ResNet50_Weights, resnet50

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 32

transform = transforms.Compose([transforms.ToTensor(), ResNet50_Weights.IMAGENET1K_V2.transforms()])


def preprocess(row: dict[str, Any]) -> dict[str, Any]:
    """Return a picture as the network takes it."""
    return {"path": row["path"], "shown": transform(row["image"]).numpy()}


class Embedder:
    """The network, once per actor."""

    def __init__(self, weights: str) -> None:
        network = resnet50()
        network.load_state_dict(torch.load(weights, weights_only=True))
        network.fc = torch.nn.Identity()
        self.network = network.eval()

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the embeddings of a batch."""
        with torch.inference_mode():
            found = torch.nn.functional.normalize(self.network(torch.from_numpy(batch["shown"])))
        return {"path": batch["path"], "embedding": found.numpy()}


def main(weights: str, folder: str, out: str) -> None:
    """Embed all pictures of a folder; prints how many rows it wrote."""
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = max(1, len(os.sched_getaffinity(0)) - 1)
    rows = (
        ray.data.read_images(folder, include_paths=True, mode="RGB")
        .map(preprocess)
        .map_batches(
            Embedder,
            fn_constructor_args=(weights,),
            compute=ray.data.ActorPoolStrategy(size=actors),
            batch_size=BATCH,
        )
    )
    rows.write_parquet(out)
    print(json.dumps({"rows": sum(f.count_rows() for f in pq.ParquetDataset(out).fragments)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
