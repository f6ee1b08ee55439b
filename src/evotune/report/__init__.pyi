"""The public names for type checkers and editors; ``__init__.py`` loads them lazily."""

from evotune.analysis.ranking import compare as compare
from evotune.report.ranking_page import write_ranking as write_ranking
