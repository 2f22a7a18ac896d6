// Contracts broken on purpose: the process aborts, with the text of the contract, its file and its
// line. In builds without assertions there is nothing to break, and ctest reports a skip.
#include <doctest/doctest.h>

#include <cstdio>

#include "base/checks.hpp"

#if defined(CHAINRULE_ASSERTIONS) && (defined(__unix__) || defined(__APPLE__))
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "kernels/registry.hpp"
#include "ops/dense.hpp"
#include "ops/loss.hpp"
#endif

namespace chainrule {
namespace {

TEST_CASE("a contract is evaluated once where assertions are on, and never where they are off") {
  int count = 0;
  const auto holds = [&count] { return ++count == 1; };
  CHAINRULE_ASSERT(holds());
  CHECK(count == (kHasAssertions ? 1 : 0));
}

TEST_CASE("arrays that share memory are told from others") {
  const float x[8] = {};
  CHECK(are_apart(x, 4, x + 4, 4));
  CHECK(!are_apart(x, 5, x + 4, 4));
  CHECK(!are_apart(x + 4, 4, x, 5));
  CHECK(are_apart(x, 0, x, 8));
  CHECK(are_apart<float, float>(nullptr, 8, x, 8));
  CHECK(are_same_or_apart(x, x, 8));
  CHECK(!are_same_or_apart(x, x + 1, 4));
  CHECK(is_there<float>(nullptr, 0));
  CHECK(!is_there<float>(nullptr, 1));
}

#if defined(CHAINRULE_ASSERTIONS) && (defined(__unix__) || defined(__APPLE__))

// What a child process that runs the body writes to stderr before it aborts; otherwise what became
// of it.
template <class Body>
std::string last_words(const Body& body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    std::signal(SIGABRT, SIG_DFL);  // doctest's would report a failed test
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char buffer[512];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    words.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) return words;
  return "did not abort: " + words;
}

template <class Body>
void check_breaks(const std::string& file, const std::string& contract, const Body& body) {
  const std::string words = last_words(body);
  CAPTURE(words);
  CAPTURE(contract);
  CHECK(words.find(file + ":") != std::string::npos);
  CHECK(words.find(": contract broken: ") != std::string::npos);
  CHECK(words.find(contract) != std::string::npos);
}

struct Matrices {
  std::vector<float> a = std::vector<float>(64, 1), b = a, c = a;
  Context context;

  void multiply(const ProductShape& shape, const float* left, const Result<float>& result,
                const PackedOperand<float>* packed = nullptr) {
    product(context, shape, matrix(left, 4), matrix<float>(b.data(), 4), result, packed);
  }
};

TEST_CASE("products") {
  Matrices x;
  const float* a = x.a.data();
  float* c = x.c.data();
  const char* file = "product.cpp";
  check_breaks(file, "m >= 0", [&] { x.multiply({-1, 4, 4}, a, {c, 4}); });
  check_breaks(file, "precision != Precision::kAuto",
               [&] { x.multiply({4, 4, 4, Precision::kAuto}, a, {c, 4}); });
  check_breaks(file, "is_valid(a, m, k)", [&] { x.multiply({4, 4, 4}, nullptr, {c, 4}); });
  check_breaks(file, "is_valid(c, m, n)", [&] { x.multiply({4, 4, 4}, a, {c, 3}); });
  check_breaks(file, "is_apart(c, m, n, a, m, k)", [&] { x.multiply({4, 4, 4}, c + 15, {c, 4}); });
  check_breaks(file, "is_valid(a, m, k)", [&] {
    product(x.context, {4, 4, 4}, Operand<float>{a, 8, 2}, matrix(a, 4), {c, 4});
  });
  PackedOperand<float> packed;
  packed.reserve(x.context.kernels<float>(), Precision::kFull, 4, 3);
  check_breaks(file, "packed->is_for(", [&] { x.multiply({4, 4, 4}, a, {c, 4}, &packed); });
  check_breaks("packed_operand.cpp", "panel < panel_count_",
               [&] { packed.pack(x.context.kernels<float>(), matrix(a, 3), 1); });
  check_breaks(file, "!is_bf16<T>(shape.precision)", [&] {
    narrow_product<float>(x.context, {4, 4, 4, Precision::kBf16}, matrix(a, 4), matrix(a, 4),
                          {c, 4});
  });
}

TEST_CASE("dense layers") {
  Matrices x;
  Team team;
  const float* a = x.a.data();
  float* c = x.c.data();
  check_breaks("dense.cpp", "shape.batch_size >= 0",
               [&] { dense_input_gradient<float>(x.context, {-1, 4, 4}, a, {a}, c); });
  check_breaks("dense.cpp", "are_apart(y, m * n, x, m * k)", [&] {
    dense_forward<float>(team, {4, 4, 4}, c, a, nullptr, Activation::tanh, 0, nullptr, c);
  });
  check_breaks("dense.cpp", "piece < gradient_piece_count(kernels, shape)", [&] {
    dense_parameter_gradients<float>(x.context, {4, 4, 4}, 1, a, a, c, nullptr);
  });
  check_breaks("dense.cpp", "packs_gradient(kernels, shape)", [&] {
    PackedOperand<float> panels;
    dense_parameter_gradients<float>(team, {4, 4, 4}, a, a, panels, c, nullptr);
  });
}

TEST_CASE("losses") {
  Team team;
  const std::vector<float> outputs(6, 0), targets(6, 1);
  const std::vector<int32_t> labels = {0, 2};
  const LossFunction<float> mse(LossSpec{Loss::mse, 0, {}});
  const LossFunction<float> cross_entropy(LossSpec{Loss::cross_entropy, 0, {}});
  check_breaks("loss.cpp", "is_valid(targets, rows)", [&] {
    mse(team, outputs.data(), 2, 3, {targets.data(), 3, labels.data(), nullptr}, Reduction::kMean,
        nullptr);
  });
  check_breaks("loss.cpp", "are_apart(gradient, rows * columns, outputs, rows * columns)", [&] {
    std::vector<float> same = outputs;
    mse(team, same.data(), 2, 3, {targets.data(), 3, nullptr, nullptr}, Reduction::kMean,
        same.data());
  });
  check_breaks("loss.cpp", "are_in_range(targets, rows, columns)", [&] {
    cross_entropy(team, outputs.data(), 2, 2, {nullptr, 0, labels.data(), nullptr},
                  Reduction::kMean, nullptr);
  });
}

TEST_CASE("teams and blocks of rows") {
  Team team;
  check_breaks("team.hpp", "threads >= 0", [&] { team.begin(-1); });
  check_breaks("team.hpp", "threads >= 1", [&] { team.use_threads(0); });
  check_breaks("team.hpp", "count >= 0", [&] { team.run(-1, 0, [](Context&, int64_t) {}); });
  check_breaks("row_blocks.hpp", "count >= 1",
               [&] { for_row_ranges(team, 4, 0, 0, [](Context&, int64_t, RowRange) {}); });
}

TEST_CASE("kernels of every variant") {
  const std::vector<float> x(256, 1);
  std::vector<float> y(256, 0);
  AlignedBuffer<std::byte> strip(int64_t{1} << 16);
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    const KernelTable<float>& kernels = variant->single_precision;
    const int64_t width = kernels.panel_columns;
    check_breaks("product-inl.hpp", "p.n <= kPanelColumns<T>", [&] {
      kernels.panel_product(
          {1, width + 1, 1, x.data(), 1, 1, x.data(), 1, y.data(), 1, nullptr, false});
    });
    check_breaks("product-inl.hpp", "n <= kPanelColumns<T>",
                 [&] { kernels.pack_panel(x.data(), 1, 1, width + 1, y.data()); });
    check_breaks("product-inl.hpp", "row_stride >= columns",
                 [&] { kernels.column_sums(x.data(), 2, 4, 3, y.data(), false); });
    check_breaks("activation-inl.hpp", "are_same_or_apart(x, y, size)",
                 [&] { kernels.activations[1].forward(y.data(), y.data() + 1, 8, 0); });
    check_breaks("vector-inl.hpp", "probability < 1",
                 [&] { kernels.dropout_mask(0, 0, 0, 1.0, 0, y.data(), 8); });
    check_breaks("vector-inl.hpp", "is_there(x, size)", [&] { kernels.all_finite(nullptr, 8); });
    check_breaks("vector-inl.hpp", "are_same_or_apart(a, y, size)",
                 [&] { kernels.multiply(y.data(), x.data(), y.data() + 4, 8); });
    check_breaks("norm-inl.hpp", "are_apart(n.y", [&] {
      kernels.layer_norm_forward({2, 4, 4, x.data(), x.data(), x.data(), 1e-5F, nullptr, nullptr,
                                  y.data(), y.data() + 64, y.data()});
    });
    check_breaks("optimizer-inl.hpp", "is_there(args.gradient, args.size)", [&] {
      OptimizerArguments<float> args{};
      args.size = 8;
      args.parameters = y.data();
      kernels.optimizers[0].step(args);
    });
    check_breaks("loss-inl.hpp", "args.targets == nullptr || args.labels == nullptr", [&] {
      const int32_t label = 0;
      LossArguments<float> args{};
      args.targets = x.data();
      args.labels = &label;
      kernels.losses[0](args);
    });
    if (kernels.bf16->uses_tiles) continue;  // they trust ops
    check_breaks("bf16-inl.hpp", "% 64 == 0",
                 [&] { kernels.bf16->pack_right({x.data(), 1, 8, 8, 8}, 1, strip.data() + 4); });
  }
}

#else

TEST_CASE("broken contracts") { std::puts("skipped: assertions are off in this build"); }

#endif

}  // namespace
}  // namespace chainrule
