"""The command line: ``evotune demo``, ``run``, ``list``, ``show``, ``best``, ``trials``, ...

It is built on the library and never the other way round: all that it does can be written in Python.
"""
