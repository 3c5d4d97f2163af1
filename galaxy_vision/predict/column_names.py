"""Turn names of classes into names of columns that pandas, astropy and FITS accept."""

import re
import unicodedata
from collections.abc import Sequence

from ..inference.answer_names import distinct


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Return ``probability_{class}`` of each class, in letters, digits and underscores.

    FITS recommends these and does not distinguish case (standard 4.0, section 7.3.1). Names that would be equal get the
    number of their class: ``S b`` and ``S-b`` become ``probability_S_b_0`` and ``probability_S_b_1``.
    """
    plain = [unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in class_names]
    columns = [f"probability_{re.sub(r'[^A-Za-z0-9]', '_', name)}" for name in plain]
    return distinct(columns)
