"""The public name for type checkers and editors; ``__init__.py`` loads it lazily."""

from evotune.analysis.ranking import compare as compare
