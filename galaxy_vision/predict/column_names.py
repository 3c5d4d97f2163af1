"""Names of classes -> names of columns that pandas, astropy and FITS can hold."""

import re
import unicodedata
from collections.abc import Sequence


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """``probability_{class}`` for each class, in letters, digits and underscores, as FITS asks (4.0, section 7.3.1).

    Where names differ in less than that, or in their case only, which FITS does not tell apart, the number of the
    class is added to each of them: ``S b`` and ``S-b`` become ``probability_S_b_0`` and ``probability_S_b_1``.
    """
    plain = [unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in class_names]
    columns = [f"probability_{re.sub(r'[^A-Za-z0-9]', '_', name)}" for name in plain]
    lower = [column.lower() for column in columns]
    while len(set(lower)) < len(lower):  # again, as S_b_1 may be a class of its own
        columns = [f"{each}_{place}" if lower.count(each.lower()) > 1 else each for place, each in enumerate(columns)]
        lower = [column.lower() for column in columns]
    return columns
