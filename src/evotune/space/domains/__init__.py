"""Domains: the range of one gene, one kind a file; `Domain` says what each must do.

`Float`, `Int`, `Ordinal`, `Choice`, `Bool` and `Fixed` are the kinds that come with the package. A
class joins `KINDS` by its ``kind`` when it is defined; `domain_from_json` builds any of them.
"""

from evotune.space.domains.base import KINDS, Axis, Domain, domain_from_json
from evotune.space.domains.bool import Bool
from evotune.space.domains.choice import Choice
from evotune.space.domains.fixed import Fixed
from evotune.space.domains.float import Float
from evotune.space.domains.int import Int
from evotune.space.domains.ordinal import Ordinal

__all__ = [
    "KINDS",
    "Axis",
    "Bool",
    "Choice",
    "Domain",
    "Fixed",
    "Float",
    "Int",
    "Ordinal",
    "domain_from_json",
]
