"""Parts that join chains: several inputs or outputs, two branches, encoder and decoder."""

from math import inf

import torch
from torch import nn

from evotune.architectures.inherit.maps import ChannelMap, joined, unknown
from evotune.architectures.inherit.rules import Target, Walk, fresh, read, take, write
from evotune.architectures.parts import Branches, EachFrame, EncoderDecoder, Fusion, Positions


@take.register
def take_named(
    child: nn.ModuleDict,
    parent: nn.Module,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry modules that all read the same over, by their names, such as several heads."""
    theirs = dict(parent.named_children())
    whole = way.whole
    for name, module in child.items():
        if name in theirs:
            whole = take(module, theirs[name], way, walk, out).whole and whole
        else:
            fresh(module, way, walk)
    for name, module in theirs.items():
        if name not in child:
            walk.drop(module)
    return unknown(whole=whole, last=way.last)


@take.register
def take_each_frame(
    child: EachFrame, parent: EachFrame, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry the layers on every image of a sequence over."""
    return take(child.layers, parent.layers, way, walk, out)


@take.register
def take_positions(
    child: Positions, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Return the map behind what is added to each place: it suits an unchanged stream only."""
    return way.lost(not way.plain or not isinstance(parent, Positions)).but(low=-inf)


@take.register
def take_branches(
    child: Branches, parent: Branches, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Carry branches over, by their names, and what joins them."""
    ways, sizes = [], []
    for name, branch in child.branches.items():
        if name not in parent.branches:
            fresh(child, way, walk)
            return way.forgotten()
        ways.append(take(branch, parent.branches[name], unknown(last=True), walk))
        sizes.append((len(ways[-1].idx), ways[-1].width))
    return _take_fusion(child.fusion, parent.fusion, (ways, sizes), walk, out)


def _take_fusion(
    child: Fusion,
    parent: Fusion,
    read_as: tuple[list[ChannelMap], list[tuple[int, int]]],
    walk: Walk,
    out: Target | None,
) -> ChannelMap:
    """Carry over what makes one vector of two, whose maps and widths are given."""
    ways, sizes = read_as
    if child.kind != parent.kind:
        fresh(child, ways[0], walk)
        return unknown(whole=False, last=True)
    if child.kind == "concat":
        known = all(way.known for way in ways)
        whole = all(way.whole for way in ways)
        return joined(ways, sizes) if known else unknown(whole=whole, last=True)
    wanted = walk.choose(parent.first, child.width, parent.width, out)
    parts = [(child.first, parent.first, ways[0]), (child.second, parent.second, ways[1])]
    if child.kind == "gate":
        sizes = [
            (own.in_features, theirs.in_features)
            for own, theirs in ((child.first, parent.first), (child.second, parent.second))
        ]
        parts.append((child.gate, parent.gate, joined(ways, sizes)))
    found = [take(a, b, way, walk, lambda c, p: wanted) for a, b, way in parts]
    return wanted.lost(not all(part.whole for part in found))


@take.register
def take_translator(
    child: EncoderDecoder,
    parent: EncoderDecoder,
    way: ChannelMap,
    walk: Walk,
    out: Target | None = None,
) -> ChannelMap:
    """Carry encoder and decoder over, and what the decoder looks for in the source."""
    source = take(child.source, parent.source, unknown(), walk)
    encoded = take(child.encoder, parent.encoder, source, walk)
    target = take(child.target, parent.target, unknown(), walk)
    wide = (child.score.out_features, parent.score.out_features)
    words = (child.target.embedding_dim, parent.target.embedding_dim)
    both = joined([target, encoded], [words, wide])
    states = take(child.decoder, parent.decoder, both, walk)
    encoded = encoded.fitted(*wide)
    looked = take(child.score, parent.score, states, walk, lambda c, p: encoded)
    # Scores are sums over the encoder's channels: each repeat has its share in them.
    share = (encoded.share / encoded.scale)[:, None]
    write(child.score.weight, read(child.score.weight) * share)
    shifted = bool(looked.offset.any() or encoded.offset.any())
    deep = (child.score.in_features, parent.score.in_features)
    both = joined([encoded, states], [wide, deep]).lost(shifted or not looked.whole)
    return take(child.output, parent.output, both, walk, out)


@take.register
def take_unflatten(
    child: nn.Unflatten, parent: nn.Module, way: ChannelMap, walk: Walk, out: Target | None = None
) -> ChannelMap:
    """Return the map of the channels of a vector that is made an image."""
    places = [_places(part) for part in (child, parent)]
    if not way.known or len(way.idx) % places[0] or way.width % places[1]:
        return way.forgotten()
    first = torch.arange(0, len(way.idx), places[0])
    idx = torch.where(way.idx[first] < 0, way.idx[first], way.idx[first] // places[1])
    share = way.share[first] * max(1.0, places[0] / places[1])
    return way.but(
        idx=idx,
        share=share,
        offset=way.offset[first],
        width=way.width // places[1],
        last=False,
    ).lost(places[0] != places[1])


def _places(module: nn.Module) -> int:
    sizes = getattr(module, "unflattened_size", (1,))
    places = 1
    for size in sizes[1:]:
        places *= int(size)
    return places


def into_image(layer: nn.Module, child: nn.Module, parent: nn.Module, walk: Walk) -> Target | None:
    """Return what the map of a linear layer needs to be, if its output is made an image.

    Args:
        layer: The parent's layer.
        child: What follows the child's layer.
        parent: What follows the parent's.
        walk: What all rules share.
    """
    if not (isinstance(child, nn.Unflatten) and isinstance(parent, nn.Unflatten)):
        return None
    channels, width = (int(part.unflattened_size[0]) for part in (child, parent))

    def wanted(outputs: int, parent_outputs: int) -> ChannelMap:
        chosen = walk.choose(layer, channels, width, None).but(last=False)
        return chosen.fitted(outputs, parent_outputs, walk.shape)

    return wanted
