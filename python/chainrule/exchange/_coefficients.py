"""Numbers of the elementary functions that exported files carry: those of the kernels.

Read by _c_functions.py and _onnx_graph.py. The kernels have them in
cpp/chainrule/simd/math_coefficients.hpp (written by math_coefficients.sollya, which says what each
polynomial approximates) and simd/math.hpp; tests/python/exchange/test_exchange_c.py compares.
Polynomials are in ascending order. Hexadecimal, as Python and C99 write a float exactly.
"""

from __future__ import annotations

import numpy as np

COEFFICIENTS: dict[str, dict[str, str]] = {
    "float32": {
        "LOG2_HIGH": "0x1.62e4p-1",
        "LOG2_LOW": "0x1.7f7d1cp-20",
        "LOG2": "0x1.62e43p-1",
        "LOG2_E": "0x1.715476p0",
        "EXP_MIN": "-0x1.5d589ep6",
        "EXP_MAX": "0x1.62e42ep6",
        "POWER_MAX": "0x1.601e66p6",
        "EXP": ("0x1.fffffcp-2 0x1.555492p-3 0x1.5558f2p-5 0x1.1239e4p-7 0x1.6a2458p-10"),
        "EXP_DOUBLED": ("0x1.fffffcp0 0x1.555492p0 0x1.5558f2p-1 0x1.1239e4p-2 0x1.6a2458p-4"),
        "TANH": (
            "-0x1.55554cp-2 0x1.110eccp-3 -0x1.b9bb82p-5 0x1.627c42p-6 -0x1.0d04a2p-7 "
            "0x1.4b8a3ap-9 -0x1.c88798p-12"
        ),
        "LOG1P": (
            "-0x1.fffff8p-2 0x1.5553b6p-2 -0x1.ffc59ep-3 0x1.978b56p-3 -0x1.4a72c6p-3 "
            "0x1.ff2976p-4 -0x1.54f2aap-4 0x1.5901fap-5 -0x1.c0a82p-7 0x1.113bd4p-9"
        ),
        "PHI": (
            "0x1.82b4bcp-1 -0x1.373e3ap-1 0x1.8c6dcp-2 -0x1.7dfefp-3 0x1.eec512p-5 "
            "-0x1.ee77bep-8 -0x1.c8bca6p-9 0x1.b02678p-10 0x1.579a94p-13 -0x1.fcd384p-13 "
            "-0x1.d27d8ep-15"
        ),
        "TANH_LIMIT": "0x1.d70a3ep-1",
        "PHI_LIMIT": "0x1.a66666p3",
        "PHI_CENTER": "0x1p2",
    },
    "float64": {
        "LOG2_HIGH": "0x1.62e42fefa38p-1",
        "LOG2_LOW": "0x1.ef35793c7673p-45",
        "LOG2": "0x1.62e42fefa39efp-1",
        "LOG2_E": "0x1.71547652b82fep0",
        "EXP_MIN": "-0x1.6232bdd7abcd2p9",
        "EXP_MAX": "0x1.62e42fefa39efp9",
        "POWER_MAX": "0x1.628b76e3a7b6p9",
        "EXP": (
            "0x1.000000000000ap-1 0x1.55555555554fap-3 0x1.555555555087bp-5 "
            "0x1.1111111127bdp-7 0x1.6c16c1842a5dcp-10 0x1.a01a012a609c3p-13 "
            "0x1.a0199a0b945c2p-16 0x1.71df253aa17e9p-19 0x1.28ad7393efbd6p-22 "
            "0x1.ad7f9a36a4354p-26"
        ),
        "EXP_DOUBLED": (
            "0x1.000000000000ap1 0x1.55555555554fap0 0x1.555555555087bp-1 "
            "0x1.1111111127bdp-2 0x1.6c16c1842a5dcp-4 0x1.a01a012a609c3p-6 "
            "0x1.a0199a0b945c2p-8 0x1.71df253aa17e9p-10 0x1.28ad7393efbd6p-12 "
            "0x1.ad7f9a36a4354p-15"
        ),
        "TANH": (
            "-0x1.55555555554ffp-2 0x1.111111110ac94p-3 -0x1.ba1ba1b503b71p-5 "
            "0x1.664f477a653b5p-6 -0x1.226e161ffcffp-7 0x1.d6cf268db074cp-9 "
            "-0x1.7d6893c853f94p-10 0x1.3365ae2b19cfbp-11 -0x1.df524ba76b443p-13 "
            "0x1.4389e5a7591e4p-14 -0x1.0d98fdf30757fp-16"
        ),
        "LOG1P": (
            "-0x1.fffffffffffeep-2 0x1.5555555554755p-2 -0x1.ffffffff84b57p-3 "
            "0x1.999999882f507p-3 -0x1.555553d7c55ebp-3 0x1.2492336314921p-3 "
            "-0x1.fffe3e2b9b58ep-4 0x1.c70f05863940ep-4 -0x1.994b77d1914d5p-4 "
            "0x1.72fa73001ef3dp-4 -0x1.5057661b829c2p-4 0x1.2c96a02fee22bp-4 "
            "-0x1.0246f906fd6f6p-4 0x1.9c269a3012177p-5 -0x1.25275853708f8p-5 "
            "0x1.63f56343131a5p-6 -0x1.6053d91fea1f1p-7 0x1.0d7f86a00cdf5p-8 "
            "-0x1.28473e3d00f79p-10 0x1.9e1c41b5cb1c8p-13 -0x1.133c3c21acf47p-16"
        ),
        "PHI": (
            "0x1.89d3abe1f95aep-1 -0x1.54ad03f27ca18p-1 0x1.fb31653876f89p-2 "
            "-0x1.410ed5f875947p-2 0x1.51f6329f01b93p-3 -0x1.1b1c254ca4284p-4 "
            "0x1.54b4d4f48b4e3p-6 -0x1.88590e97ff414p-9 -0x1.a2503778d23b2p-11 "
            "0x1.1daf1ad42fc37p-11 -0x1.f21492e6f7b0dp-15 -0x1.a1700f7b9a2fp-15 "
            "0x1.17df15af68f22p-16 0x1.0b147f863c92ep-18 -0x1.73e103b7c5dfcp-19 "
            "-0x1.673d58ddaac9fp-22 0x1.d4750982869b7p-22 0x1.59091e5ca0a43p-25 "
            "-0x1.2d3de74a27018p-24 -0x1.25a3b656558bbp-27 0x1.730b0e4dba116p-27 "
            "0x1.30c28a0943091p-29 -0x1.3f93501f39e24p-30 -0x1.a3ce1d42240edp-32"
        ),
        "TANH_LIMIT": "0x1.4p-1",
        "PHI_LIMIT": "0x1.2d0a3d70a3d71p5",
        "PHI_CENTER": "0x1.4p2",
    },
}

# Those that math.hpp and vec.hpp themselves state: MathLimits and PowerShift.
LIMITS: dict[str, dict[str, str]] = {
    "float32": {
        "MAX_FINITE": "0x1.fffffep127",
        "TINY": "0x1p-25",
        "EXPM1_MIN": "-0x1.4p4",
        "TANH_MAX": "0x1.4p3",
        "PLAIN_SHIFT": "0x1.8p23",
        "BIASED_SHIFT": "0x1.8000fep23",
    },
    "float64": {
        "MAX_FINITE": "0x1.fffffffffffffp1023",
        "TINY": "0x1p-54",
        "EXPM1_MIN": "-0x1.4p5",
        "TANH_MAX": "0x1.4p4",
        "PLAIN_SHIFT": "0x1.8p52",
        "BIASED_SHIFT": "0x1.80000000003ffp52",
    },
}

# Of activation-inl.hpp, in double.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
GELU_SCALE = 0.79788456080286535587989211986876  # sqrt(2 / pi)
GELU_CUBIC = 0.044715
NORM_EPSILON = 1e-5


def polynomial(dtype: str, name: str) -> list[float]:
    """Return the coefficients of a polynomial, in ascending order."""
    return [float.fromhex(text) for text in COEFFICIENTS[dtype][name].split()]


def constant(dtype: str, name: str) -> float:
    """Return one number."""
    return float.fromhex(COEFFICIENTS[dtype][name])


def rounded(value: float, dtype: np.dtype[np.float32] | np.dtype[np.float64]) -> float:
    """Round to an element type as the kernels' constants are; smaller than normal is zero."""
    with np.errstate(over="ignore"):
        result = dtype.type(value)
    if abs(result) < np.finfo(dtype).tiny:
        result = np.copysign(dtype.type(0.0), result)
    return float(result)
