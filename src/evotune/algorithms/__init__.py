"""Search methods, one a file, and short named compositions of them in `recipes`."""
