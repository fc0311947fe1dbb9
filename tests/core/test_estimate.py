import math

import pytest

from nevus.core.estimate import Estimate

NAN = math.nan


@pytest.mark.parametrize(
    ("estimate", "sign", "expected"),
    [
        (Estimate(0.95, 0.9312, 0.9637), "", "0.950 (0.931 to 0.964)"),
        (Estimate(0.02, -0.00001, 0.04), "+", "+0.020 (+0.000 to +0.040)"),
        (Estimate(1.0, NAN, NAN), "", "1.000 (no interval)"),
        (Estimate(NAN, NAN, NAN), "+", "not defined"),
    ],
)
def test_what_is_not_known_is_said_in_words(estimate: Estimate, sign: str, expected: str) -> None:
    assert estimate.text(sign) == expected
