"""Student's t distribution for whole degrees of freedom: the kit's run dependencies have no statistics library."""

from __future__ import annotations

import math


def t_quantile(outside: float, df: int) -> float:
    """The t with P(|T| > t) = outside, 0 < outside < 1, df >= 1: by halving the angle arctan(t / sqrt(df))."""
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - _inside(middle, df) > outside else (low, middle)
    return math.sqrt(df) * math.tan(low)


def _inside(angle: float, df: int) -> float:
    """P(|T| < t) for angle = arctan(t / sqrt(df)), by the finite series of Abramowitz and Stegun, 26.7.3 (odd df) and 26.7.4 (even df)."""
    odd, cosine = df % 2, math.cos(angle)
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for j in range(2 + odd, df - 1, 2):
        term *= (j - 1) / j * cosine**2
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
