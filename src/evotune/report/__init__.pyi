"""The public name for type checkers and editors; ``__init__.py`` loads it lazily."""

from evotune.report.ranking import compare as compare
