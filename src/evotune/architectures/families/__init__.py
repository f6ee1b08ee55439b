"""The blocks that come with the package: `image`, `sequence` and `vector`.

Each block is a function of the shape of one example and of its settings that returns an
``nn.Module``, or None where it does not fit; `evotune.architectures.blocks` finds it by its name.
"""
