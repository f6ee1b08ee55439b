"""evotune beside other libraries: one file each, each an extra."""
