"""The public names for type checkers and editors; ``__init__.py`` loads them lazily."""

from evotune.proxies.archive import Archive as Archive
from evotune.proxies.archive import evolve as evolve
from evotune.proxies.judge import Proxies as Proxies
from evotune.proxies.ranking import Agreement as Agreement
from evotune.proxies.ranking import agreement as agreement
from evotune.proxies.ranking import rank as rank
from evotune.proxies.scores.grad_norm import grad_norm as grad_norm
from evotune.proxies.scores.jacob_cov import jacob_cov as jacob_cov
from evotune.proxies.scores.naswot import naswot as naswot
from evotune.proxies.scores.size import multiply_adds as multiply_adds
from evotune.proxies.scores.size import params as params
from evotune.proxies.scores.snip import snip as snip
from evotune.proxies.scores.synflow import synflow as synflow
from evotune.proxies.scores.zico import zico as zico
from evotune.proxies.scoring import FIVE as FIVE
from evotune.proxies.scoring import score as score
