"""How far apart the embeddings of one person's faces may be, by the pack that made them.

As DeepFace 0.0.100 publishes it for the same network (ResNet50 trained on WebFace600K): a cosine
distance of 0.55, tuned on photographs of people in the news. For other packs nothing is published,
so nothing is guessed. Each error has its cost, and no group of people has the same rates: measure
on labelled pairs of your own, children and women first.
"""

from __future__ import annotations

# Cosine distances: 1 less the cosine.
COSINE = {"buffalo_l": 0.55, "buffalo_m": 0.55}
