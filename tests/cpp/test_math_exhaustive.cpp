// Measures simd/math.hpp of one variant, chosen by the macros and flags of this file's own
// compilation: every float32 argument (or every K-th) against the C library in double, and sampled
// float64 arguments against it in long double. A program of its own, not a doctest:
//
//   g++ -std=c++20 -O3 -ffp-contract=off -Icpp/chainrule -pthread
//       -mavx2 -mfma -DCHAINRULE_VARIANT_AVX2 tests/cpp/test_math_exhaustive.cpp
//   ./a.out [--function NAME] [--stride K] [--double N] [--threads N]
//
// Prints the worst error in units in the last place, its argument, and a hash of all results, which
// must be equal in all variants. Exits with 1 if a bound is exceeded.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "simd/math.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace chainrule {
namespace {

void flush_denormals() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040U);
#elif defined(__aarch64__)
  uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (uint64_t{1} << 24)));
#endif
}

template <class W>
W reference_sigmoid(W x) {
  return W{1} / (W{1} + std::exp(-x));
}

template <class W>
W reference_softplus(W x) {
  const W z = std::log1p(std::exp(-std::fabs(x)));
  return x > W{0} ? x + z : (x <= W{0} ? z : x);
}

// erfc(-x sqrt(1/2)) / 2 with a first-order correction for the rounding of its argument, which in
// the tail counts x^2 times.
template <class W>
W reference_normal_cdf(W x) {
  const W root = static_cast<W>(0.707106781186547524400844362104849039L);
  const W root_low = static_cast<W>(0.707106781186547524400844362104849039L - root);
  const W y = -x * root;
  const W value = std::erfc(y) / W{2};
  if (!(std::fabs(x) < W{40})) return value;
  const W lost = std::fma(-x, root, -y) - x * root_low;
  return value - static_cast<W>(0.564189583547756286948L) * std::exp(-y * y) * lost;
}

// A reference computes float32 in double and float64 in long double.
template <class T>
struct Wide;
template <>
struct Wide<float> {
  using Type = double;
  using Bits = uint32_t;
};
template <>
struct Wide<double> {
  using Type = long double;
  using Bits = uint64_t;
};

template <class T>
using WideType = typename Wide<T>::Type;

template <class T>
struct Function {
  const char* name;
  double bound;
  void (*apply)(const T*, T*, int64_t);
  WideType<T> (*reference)(WideType<T>);
};

#define CHAINRULE_FUNCTION(T, name, bound, reference_expression)                           \
  Function<T> {                                                                            \
    #name, bound,                                                                          \
        [](const T* from, T* to, int64_t count) {                                          \
          for (int64_t i = 0; i < count; i += Vec<T>::kLanes) {                            \
            const int64_t lanes = count - i < Vec<T>::kLanes ? count - i : Vec<T>::kLanes; \
            name(Vec<T>::load_partial(from + i, lanes)).store_partial(to + i, lanes);      \
          }                                                                                \
        },                                                                                 \
        [](WideType<T> x) -> WideType<T> { return reference_expression; }                  \
  }

template <class T>
std::vector<Function<T>> functions() {
  return {
      CHAINRULE_FUNCTION(T, exp, 1.0, std::exp(x)),
      CHAINRULE_FUNCTION(T, expm1, 2.0, std::expm1(x)),
      CHAINRULE_FUNCTION(T, log, 1.0, std::log(x)),
      CHAINRULE_FUNCTION(T, log1p, 2.0, std::log1p(x)),
      CHAINRULE_FUNCTION(T, tanh, sizeof(T) == 4 ? 1.0 : 2.0, std::tanh(x)),
      CHAINRULE_FUNCTION(T, sigmoid, 1.0, reference_sigmoid(x)),
      CHAINRULE_FUNCTION(T, erf, 2.0, std::erf(x)),
      CHAINRULE_FUNCTION(T, softplus, 2.0, reference_softplus(x)),
      CHAINRULE_FUNCTION(T, normal_cdf, 6.0, reference_normal_cdf(x)),
  };
}

// Units in the last place of T at the reference, infinite for a wrong NaN or sign of zero. A
// reference in the denormal range may be met by zero.
template <class T>
double ulp_error(T got, WideType<T> reference) {
  using W = WideType<T>;
  using Limits = std::numeric_limits<T>;
  const double wrong = std::numeric_limits<double>::infinity();
  // Correctly rounded: at most half a unit, which every function reaches elsewhere.
  if (got == static_cast<T>(reference) && got != T{0}) return 0.5;
  if (std::isnan(reference) || std::isnan(got)) {
    return std::isnan(reference) && std::isnan(got) ? 0.0 : wrong;
  }
  if (std::isinf(got) && std::isinf(reference)) {
    return (got > T{0}) == (reference > W{0}) ? 0.0 : wrong;
  }
  if (got == T{0} && std::fabs(reference) < W{Limits::min()}) {
    return std::signbit(got) == std::signbit(reference) ? 0.0 : wrong;
  }
  const W largest = std::ldexp(W{1}, Limits::max_exponent);
  const auto bounded = [&](W x) { return std::max(std::min(x, largest), -largest); };
  const W expected = bounded(reference);
  int exponent = Limits::min_exponent;
  if (expected != W{0}) (void)std::frexp(expected, &exponent);
  exponent = std::max(std::min(exponent, Limits::max_exponent), Limits::min_exponent);
  const W unit = std::ldexp(W{1}, exponent - Limits::digits);
  return static_cast<double>(std::fabs(bounded(W{got}) - expected) / unit);
}

// What the kernels read: denormals count as zero, in long double as well.
template <class T>
T flushed(T x) {
  return std::fabs(x) < std::numeric_limits<T>::min() ? std::copysign(T{0}, x) : x;
}

template <class T>
struct Result {
  double error = 0.0;
  T argument{};
  T value{};
  uint64_t hash = 0;

  void merge(const Result& other) {
    if (other.error > error) {
      error = other.error;
      argument = other.argument;
      value = other.value;
    }
    hash += other.hash;
  }
};

template <class T>
void measure_block(const Function<T>& function, const std::vector<T>& from, std::vector<T>& to,
                   Result<T>& result) {
  using Bits = typename Wide<T>::Bits;
  function.apply(from.data(), to.data(), static_cast<int64_t>(from.size()));
  for (size_t i = 0; i < from.size(); ++i) {
    const bool nan = std::isnan(to[i]);
    const uint64_t word = nan ? ~uint64_t{0} : uint64_t{std::bit_cast<Bits>(to[i])};
    uint64_t mixed = (word ^ (uint64_t{std::bit_cast<Bits>(from[i])} << 31)) * 0x9e3779b97f4a7c15U;
    mixed = (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9U;
    result.hash += mixed ^ (mixed >> 32);
    const double error = ulp_error(to[i], function.reference(WideType<T>{flushed(from[i])}));
    if (!(error <= result.error)) {
      result.error = error;
      result.argument = from[i];
      result.value = to[i];
    }
  }
}

// The i-th of n arguments: each bit pattern in turn, or for double edges and random ones.
struct FloatSource {
  uint64_t stride;
  std::mt19937_64 generator;
  float at(uint64_t i) { return std::bit_cast<float>(static_cast<uint32_t>(i * stride)); }
};

struct DoubleSource {
  std::mt19937_64 generator;
  double at(uint64_t i) {
    static const double edges[] = {
        0.0,   0x1p-1022,          0x1p-54,          0.625, 0.875,    1.0, 36.7, 37.5193,
        37.63, 708.39641853226408, 709.782712893384, 1e300, INFINITY, NAN};
    constexpr uint64_t kEdges = sizeof(edges) / sizeof(edges[0]);
    // Each edge, its two neighbors, and the negatives.
    if (i < 6 * kEdges) {
      const double edge = edges[i / 6];
      const uint64_t bits = std::bit_cast<uint64_t>(edge);
      const bool move = edge > 0.0 && edge < std::numeric_limits<double>::infinity();
      const double near = std::bit_cast<double>(bits + (move ? i % 3 : 1) - 1);
      return i % 6 < 3 ? near : -near;
    }
    const uint64_t bits = generator();
    const double unit = static_cast<double>(bits >> 12) * 0x1p-51 - 1.0;
    const double scales[] = {1.0, 2.0, 8.0, 40.0, 750.0};
    const uint64_t kind = bits % 8;
    if (kind < 5) return unit * scales[kind];
    if (kind == 5) return std::bit_cast<double>(generator());
    if (kind == 6) return std::ldexp(unit, static_cast<int>(generator() % 64) - 60);
    return 1.0 + unit * std::ldexp(1.0, -static_cast<int>(generator() % 50));
  }
};

template <class T, class Source>
Result<T> measure(const Function<T>& function, uint64_t count, unsigned threads, Source source) {
  constexpr uint64_t kBlock = 4096;
  std::vector<Result<T>> results(threads);
  std::vector<std::thread> workers;
  for (unsigned worker = 0; worker < threads; ++worker) {
    workers.emplace_back([&, worker] {
      flush_denormals();
      std::vector<T> from;
      std::vector<T> to(kBlock);
      for (uint64_t block = worker * kBlock; block < count; block += threads * kBlock) {
        Source own = source;
        own.generator.seed(block);
        from.clear();
        for (uint64_t i = block; i < std::min(count, block + kBlock); ++i) {
          from.push_back(own.at(i));
        }
        measure_block(function, from, to, results[worker]);
      }
    });
  }
  Result<T> total;
  for (unsigned worker = 0; worker < threads; ++worker) {
    workers[worker].join();
    total.merge(results[worker]);
  }
  return total;
}

template <class T, class Source>
bool run(const std::string& only, uint64_t count, unsigned threads, const Source& source) {
  bool good = true;
  for (const Function<T>& function : functions<T>()) {
    if (!only.empty() && only != function.name) continue;
    const Result<T> result = measure(function, count, threads, source);
    const bool within = result.error <= function.bound;
    good &= within;
    std::printf("%-10s float%d  worst %.4f ULP at %.17g (%a), got %.17g  hash %016llx%s\n",
                function.name, static_cast<int>(8 * sizeof(T)), result.error,
                static_cast<double>(result.argument), static_cast<double>(result.argument),
                static_cast<double>(result.value), static_cast<unsigned long long>(result.hash),
                within ? "" : "  EXCEEDED");
  }
  return good;
}

int run_arguments(int argc, char** argv) {
  std::string only;
  uint64_t stride = 1;
  uint64_t doubles = 0;
  unsigned threads = 2;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const char* value = ++i < argc ? argv[i] : "";
    const uint64_t number = std::strtoull(value, nullptr, 10);
    if (option == "--function") {
      only = value;
    } else if (option == "--stride" && number > 0) {
      stride = number;
    } else if (option == "--double" && number > 0) {
      doubles = number;
    } else if (option == "--threads" && number > 0) {
      threads = static_cast<unsigned>(number);
    } else {
      std::fprintf(stderr, "%s %s: expected --function NAME, --stride K, --double N, --threads N\n",
                   option.c_str(), value);
      return 2;
    }
  }
  if (doubles > 0) return run<double>(only, doubles, threads, DoubleSource{}) ? 0 : 1;
  const uint64_t count = ((uint64_t{1} << 32) + stride - 1) / stride;
  return run<float>(only, count, threads, FloatSource{stride, {}}) ? 0 : 1;
}

}  // namespace
}  // namespace chainrule

int main(int argc, char** argv) { return chainrule::run_arguments(argc, argv); }
