"""How the plant's arithmetic is compiled: one decorator, and exp and ln that vectorise.

The inner functions of the rooms are compiled by numba the first time they run and kept on disk. Numba knows of a
change in a function's own file only, so each entry is kept under a digest of all of plant_sim: what is run is what is
written. Floating point stays strict (no reordering, no contraction), hence a line gives the same bytes alone and in any
batch. Imported inside plant_sim only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic


def _digest() -> int:
    digest = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest = crc32(path.read_bytes(), digest)
    return digest


SOURCES = _digest()


class _SourcesCache(FunctionCache):
    """Numba's cache on disk, keyed by all of this package's sources as well."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), SOURCES)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers and arrays. Division by zero follows IEEE, as numpy does.

    Nothing compiled here makes an array, so none is counted: vectors are borrowed from whoever called from Python.
    """
    dispatcher = numba.njit(error_model="numpy", nogil=True, _nrt=False)(function)
    dispatcher._cache = _SourcesCache(dispatcher.py_func)
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """The same, put in place where it is called: for what hands back a part of a vector."""
    return numba.njit(error_model="numpy", nogil=True, _nrt=False, inline="always")(function)


@intrinsic
def as_float(_context: Any, bits: Any) -> Any:
    """The double with these 64 bits."""
    return types.float64(types.uint64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def as_bits(_context: Any, number: Any) -> Any:
    """The 64 bits of a double."""
    return types.uint64(types.float64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.IntType(64))


_U = np.uint64
_SQRT_HALF = _U(0x3FE6A09E667F3BCD)
_ONE = _U(0x3FF0000000000000)
_EXPONENT = _U(52)
_TWO_52 = _U(0x4330000000000000)  # the double 2^52: or-ing a small integer in makes it that integer above 2^52
_TWO_52_AND_BIAS = 4503599627371519.0
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number, kept in the low bits
_BIAS = _U(1023)
_LN2 = 0.6931471805599453
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_LOG2_E = 1.4426950408889634
_EXP = tuple(1.0 / math.factorial(i) for i in range(14))


@compiled
def ln(x: float) -> float:
    """Natural logarithm of a normal number > 0, to 3e-16: ln m by the series of artanh, m within sqrt(1/2)..sqrt(2)."""
    bits = as_bits(x)
    shifted = bits - _SQRT_HALF + _ONE
    power = as_float((shifted >> _EXPONENT) | _TWO_52) - _TWO_52_AND_BIAS
    m = as_float((bits - ((shifted >> _EXPONENT) << _EXPONENT)) + _ONE)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 23.0
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return power * _LN2 + (2.0 * s + 2.0 * s * z * p)


@compiled
def exp(x: float) -> float:
    """e^x for |x| < 700, to 3e-16: Taylor's series after taking off whole powers of two."""
    shifted = x * _LOG2_E + _ROUND
    power = shifted - _ROUND
    r = x - power * _LN2_HIGH - power * _LN2_LOW
    p = _EXP[13]
    p = p * r + _EXP[12]
    p = p * r + _EXP[11]
    p = p * r + _EXP[10]
    p = p * r + _EXP[9]
    p = p * r + _EXP[8]
    p = p * r + _EXP[7]
    p = p * r + _EXP[6]
    p = p * r + _EXP[5]
    p = p * r + _EXP[4]
    p = p * r + _EXP[3]
    p = p * r + _EXP[2]
    p = p * r + 1.0
    p = p * r + 1.0
    return p * as_float((as_bits(shifted) + _BIAS) << _EXPONENT)


@compiled
def put(values: Any, into: Any) -> None:
    """Copy a vector; `into[:] = values` would first make room for one that overlaps."""
    for i in range(into.size):
        into[i] = values[i]


@compiled
def total(x: Any) -> float:
    """Sum of a vector in a fixed order of four partial sums, so that it does not wait for one addition at a time."""
    n = x.size
    a = b = c = d = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
    for i in range(whole, n):
        a += x[i]
    return (a + b) + (c + d)


@compiled
def dot(x: Any, y: Any) -> float:
    """Sum of products of two vectors, in the same fixed order."""
    n = x.size
    a = b = c = d = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        a += x[i] * y[i]
        b += x[i + 1] * y[i + 1]
        c += x[i + 2] * y[i + 2]
        d += x[i + 3] * y[i + 3]
    for i in range(whole, n):
        a += x[i] * y[i]
    return (a + b) + (c + d)


@compiled
def weigh(x: Any, of_x: float, y: Any, of_y: float, into: Any) -> None:
    """into = of_x x + of_y y. Loops of their own over few vectors are what the compiler can prove to be apart."""
    for i in range(into.size):
        into[i] = of_x * x[i] + of_y * y[i]


@compiled
def add_weighed(x: Any, of_x: float, y: Any, of_y: float, into: Any) -> None:
    """into += of_x x + of_y y."""
    for i in range(into.size):
        into[i] += of_x * x[i] + of_y * y[i]


@compiled
def add(x: Any, of_x: float, into: Any) -> None:
    """into += of_x x."""
    for i in range(into.size):
        into[i] += of_x * x[i]


@compiled
def largest(x: Any) -> float:
    """The largest of a vector's numbers, 0 when all are below; NaN counts as none."""
    n = x.size
    a = b = c = d = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        a = max(a, x[i])
        b = max(b, x[i + 1])
        c = max(c, x[i + 2])
        d = max(d, x[i + 3])
    for i in range(whole, n):
        a = max(a, x[i])
    return max(a, b, c, d)
