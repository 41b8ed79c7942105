"""How the plant's arithmetic is compiled: one decorator, and exp and ln that vectorise.

The inner functions of the rooms are compiled by numba the first time they run and kept on disk. Numba knows of a
change in a function's own file only, so each entry is kept under a digest of all of plant_sim: what is run is what is
written. Floating point stays strict (no reordering, no contraction), hence a line gives the same bytes alone and in any
batch. Imported inside plant_sim only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import llvmlite.binding
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


def _use_wide_vectors() -> None:
    """Take the whole width of the vector registers: LLVM uses half of it where older processors would slow down.

    The steps' short loops run a seventh faster so. What numba was already told about the processor is left alone.
    """
    features = llvmlite.binding.get_host_cpu_features()
    if numba.config.CPU_NAME is None and numba.config.CPU_FEATURES is None and features.get("avx512vl", False):
        numba.config.CPU_NAME = llvmlite.binding.get_host_cpu_name()
        numba.config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_use_wide_vectors()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers and arrays. Division by zero follows IEEE, as numpy does.

    Nothing compiled here makes an array, so none is counted: vectors are borrowed from whoever called from Python.
    """
    dispatcher = numba.njit(error_model="numpy", nogil=True, _nrt=False)(function)
    dispatcher._cache = _SourcesCache(dispatcher.py_func)
    return dispatcher


class Straight:
    """A compiled function that is called without numba asking each time what it was given: that costs more than a step.

    The first call goes the usual way, which compiles or takes from disk. All later ones must be of the same types:
    vectors of doubles in C order (see `doubles`) and records of the same layout.
    """

    __slots__ = ("_asked", "_entry")

    def __init__(self, function: Any) -> None:
        self._asked = function
        self._entry: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._entry is not None:
            return self._entry(*arguments)
        answer = self._asked(*arguments)
        (known,) = self._asked.overloads.values()
        self._entry = known.entry_point
        return answer


def doubles(values: Any) -> Any:
    """The same numbers as a `Straight` function takes them; no copy where they are so already."""
    return np.ascontiguousarray(values, dtype=np.float64)


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


@intrinsic
def fma(_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once. Said in so many words it is strict: the same bits on every machine."""
    double = types.float64
    return double(double, double, double), lambda _c, builder, _s, args: builder.fma(*args)


def polynomial(*coefficients: float) -> Any:
    """A compiled polynomial of one number, by Horner and `fma`; coefficients from the constant up."""
    double = ir.DoubleType()

    def horner(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = ir.Constant(double, coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = builder.fma(value, arguments[0], ir.Constant(double, coefficient))
        return value

    return intrinsic(lambda _context, z: (types.float64(types.float64), horner))


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
# Least largest error: (artanh(s)/s - 1)/s^2 over s^2 where |s| <= (sqrt(2)-1)/(sqrt(2)+1), to 1.6e-16; and
# (e^r - 1 - r)/r^2 where |r| <= ln(2)/2, to 1.1e-16.
_artanh_rest = polynomial(
    0.3333333333333335, 0.19999999999949722, 0.14285714313001635, 0.11111105565129939, 0.09091444727837474,
    0.07665855309105386, 0.07308292712444311
)  # fmt: skip
_exp_rest = polynomial(
    0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
    0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07,
    2.510038549551032e-08
)  # fmt: skip


@compiled
def ln(x: float) -> float:
    """Natural logarithm of a normal number > 0, to 3e-16: ln m by artanh, m within sqrt(1/2)..sqrt(2)."""
    bits = as_bits(x)
    shifted = bits - _SQRT_HALF + _ONE
    power = as_float((shifted >> _EXPONENT) | _TWO_52) - _TWO_52_AND_BIAS
    m = as_float((bits - ((shifted >> _EXPONENT) << _EXPONENT)) + _ONE)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    twice = s + s
    return fma(power, _LN2, fma(twice * z, _artanh_rest(z), twice))


@compiled
def exp(x: float) -> float:
    """e^x for |x| < 700, to 3e-16, after taking off whole powers of two."""
    shifted = fma(x, _LOG2_E, _ROUND)
    power = shifted - _ROUND
    r = fma(power, -_LN2_LOW, fma(power, -_LN2_HIGH, x))
    return (fma(r * r, _exp_rest(r), r) + 1.0) * as_float((as_bits(shifted) + _BIAS) << _EXPONENT)


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
