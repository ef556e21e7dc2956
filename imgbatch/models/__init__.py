"""Weights that analyzers load: what there is, where it comes from, and what runs them.

    registry   what imgbatch knows: names, sources, digests, licences (`registry.toml`)
    terms      weights in, under which terms they may be used out
    weights    a name or a user's own file in, a verified file of this machine out
    state      a verified file in, tensors out; never a pickle
    sessions   what runs them: one session per file and device, batches that halve without memory

`imagenet_wnids.txt` holds the WordNet id of each of ImageNet's 1,000 classes, in their order.
"""
