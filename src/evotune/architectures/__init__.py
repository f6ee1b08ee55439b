"""Structures: chains of layers as networks, their cost, and weights handed on across shapes.

`blocks` knows what a layer may be, `families` builds the blocks that come with the package, `build`
makes modules of a list of layers, `templates` join chains to whole networks, `network` is what they
return, `cost` measures it, and `inherit` carries weights from one structure to another.
"""
