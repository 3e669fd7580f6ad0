"""Mathematics on stored embeddings, in numpy, for every framework.

Embeddings are float32 as the service stores them; sums are made in float64, so that neither large
nor tiny values overflow and equal vectors have equal similarities. No model is called here.
"""

from ..lazy import missing_error as _missing_error

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
try:
    from .mathematics import (
        Duplicates, Matrix, Numbers, as_matrix, as_vector, maximal_marginal_relevance,
        near_duplicates, rescore, similarities,
    )
except ModuleNotFoundError as error:
    raise _missing_error(error, __name__) from error
# isort: on
# fmt: on

__all__ = [
    "Duplicates",
    "Matrix",
    "Numbers",
    "as_matrix",
    "as_vector",
    "maximal_marginal_relevance",
    "near_duplicates",
    "rescore",
    "similarities",
]
