// Prints a hash of the results of every kernel, and of the weights of short trainings with every
// optimizer, on the variant named by its argument. Variants with FMA print the same, on x86-64 and
// on AArch64; every variant prints the same for what starts with "math".
//
//   print_hashes avx2
//   print_hashes neon 5      # a fifth of the steps of trainings, for slow variants and emulators
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "base/flush_to_zero.hpp"
#include "hashing.hpp"
#include "kernels/registry.hpp"
#include "layers/initializers.hpp"
#include "ops/dense.hpp"
#include "training/trainer.hpp"

namespace {

using namespace chainrule;
using hashing::any_normal;
using hashing::Hash;
using hashing::specials;
using hashing::uniform;

// Not a multiple of any vector.
constexpr int64_t kSize = 20011;
// By how much trainings are shorter.
int64_t step_divisor = 1;

template <class T>
const char* type_name() {
  return sizeof(T) == 4 ? "float" : "double";
}

template <class T>
std::string label(const std::string& group, std::string_view name) {
  return group + " " + std::string(name) + " " + type_name<T>();
}

// By append: of the operator + GCC 12 warns falsely.
std::string in_precision(std::string text, Precision precision) {
  if (precision == Precision::kFull) return text;
  return text.append(" ").append(kPrecisions[static_cast<size_t>(precision)]);
}

template <class T>
void print_elementwise(const Variant& variant) {
  const KernelTable<T>& kernels = kernels_of<T>(variant);
  const std::vector<T> x = uniform<T>(kSize, 1, -12, 12), wide = any_normal<T>(kSize, 3),
                       grad_y = uniform<T>(kSize, 2, -1, 1);
  std::vector<T> y(kSize);
  for (size_t i = 0; i < kMathFunctions.size(); ++i) {
    Hash hash;
    for (const std::vector<T>* input : {&x, &wide}) {
      kernels.math_functions[i](input->data(), y.data(), kSize);
      hash.add(y);
    }
    hash.print(label<T>("math", kMathFunctions[i]));
  }
  for (size_t i = 0; i < kActivations.size(); ++i) {
    const auto parameter = static_cast<T>(kActivations[i].initial);
    Hash hash;
    for (const std::vector<T>* input : {&x, &wide}) {
      kernels.activations[i].forward(input->data(), y.data(), kSize, parameter);
      hash.add(y);
      std::vector<T> saved = kActivations[i].saved == Saved::input ? *input : y;
      kernels.activations[i].backward(grad_y.data(), saved.data(), saved.data(), kSize, parameter);
      hash.add(saved);
    }
    hash.print(label<T>("math activation", kActivations[i].name));
  }
}

template <class T>
void print_dense(const Variant& variant, bool has_nans) {
  Team team(1, variant);
  std::vector<DenseShape> shapes = {{37, 29, 43}, {130, 1100, 70}};
  for (const Precision precision : {Precision::kBf16x6, Precision::kBf16x3, Precision::kBf16}) {
    if (std::is_same_v<T, float>) shapes.push_back({130, 1100, 70, precision});
  }
  for (const DenseShape& shape : shapes) {
    const auto [m, k, n, precision] = shape;
    std::vector<T> x = uniform<T>(m * k, 1, -1, 1), b = uniform<T>(n, 3, -1, 1),
                   g = uniform<T>(m * n, 4, -1, 1);
    const std::vector<T> w = uniform<T>(k * n, 2, -1, 1);
    if (has_nans) {
      // In some rows of the left operands, so that elements of every kind are left.
      const std::vector<T> bad = specials<T>(std::max(7 * k, 7 * n), 5);
      std::copy_n(bad.data(), 7 * k, x.data() + 11 * k);
      std::copy_n(bad.data(), 7 * n, g.data() + 20 * n);
      b[3] = bad[0];
    }
    std::vector<T> y = g, grad_x = x, grad_w = w, grad_b = b;
    dense_forward<T>(team, shape, x.data(), w.data(), b.data(), Activation::tanh, T{0}, nullptr,
                     y.data());
    dense_backward<T>(team, shape, g.data(), x.data(), w.data(), grad_x.data(), grad_w.data(),
                      grad_b.data());
    Hash hash;
    for (const std::vector<T>* result : {&y, &grad_x, &grad_w, &grad_b}) hash.add(*result);
    hash.print(
        label<T>(has_nans ? "dense nan" : "dense", in_precision(std::to_string(k), precision)));
  }
}

template <class T>
void print_losses(const Variant& variant, bool has_nans) {
  Team team(1, variant);
  constexpr int64_t kRows = 103, kColumns = 6;
  const std::vector<T> outputs = has_nans ? specials<T>(kRows * kColumns, 6)
                                          : uniform<T>(kRows * kColumns, 1, -4, 4),
                       targets = uniform<T>(kRows * kColumns, 2, 0, 1),
                       weights = uniform<T>(kRows, 3, 0, 2);
  std::vector<int32_t> labels(kRows);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % kColumns);
  for (size_t i = 0; i < kLosses.size(); ++i) {
    LossSpec spec{static_cast<Loss>(i), kLosses[i].initial, {}};
    int64_t columns = kColumns;
    if (spec.loss == Loss::quantile) {
      spec.values = {0.1, 0.5, 0.9};
      columns = kColumns / 3;
    } else if (spec.loss == Loss::gaussian_nll) {
      columns = kColumns / 2;
    } else if (spec.loss == Loss::cross_entropy) {
      spec = {spec.loss, 0.1, {1, 2, 0.5, 1, 1, 3}};
    }
    const bool takes_labels = kLosses[i].targets == Targets::labels;
    Hash hash;
    for (const bool is_weighted : {false, true}) {
      for (const bool has_labels : {false, true}) {
        if (has_labels && !takes_labels) continue;
        const TargetView<T> view{has_labels ? nullptr : targets.data(), columns,
                                 has_labels ? labels.data() : nullptr,
                                 is_weighted ? weights.data() : nullptr};
        std::vector<T> gradient(outputs.size());
        hash.add(LossFunction<T>(spec)(team, outputs.data(), kRows, kColumns, view,
                                       Reduction::kMean, gradient.data())
                     .value);
        hash.add(gradient);
      }
    }
    hash.print(label<T>(has_nans ? "loss nan" : "loss", kLosses[i].name));
  }
}

template <class T>
void print_vectors(const Variant& variant) {
  const KernelTable<T>& kernels = kernels_of<T>(variant);
  std::vector<T> x = uniform<T>(kSize, 1, -1, 1), mask(kSize);
  const std::vector<T> w = uniform<T>(kSize, 2, -1, 1);
  Hash hash;
  const GradientSummary summary =
      kernels.finish_gradient(x.data(), w.data(), kSize, T(0.01), T(0.02), T(1e6), true);
  hash.add(summary.sum_of_squares);
  hash.add(summary.penalty);
  hash.add(kernels.dot(x.data(), w.data(), kSize));
  kernels.add_scaled(T(0.3), w.data(), x.data(), kSize);
  kernels.dropout_mask(7, 2, (uint64_t{1} << 33) + 5, 0.3, 0, mask.data(), kSize);
  kernels.multiply(x.data(), mask.data(), x.data(), kSize);
  hash.add(x);
  hash.print(label<T>("vector", "all"));
}

// What comes of NaNs, infinities and overflows: the bits of every NaN too.
template <class T>
void print_specials(const Variant& variant) {
  const KernelTable<T>& kernels = kernels_of<T>(variant);
  const std::vector<T> x = specials<T>(kSize, 1), other = specials<T>(kSize, 2);
  std::vector<T> y(kSize), saved;
  for (size_t i = 0; i < kMathFunctions.size(); ++i) {
    Hash hash;
    kernels.math_functions[i](x.data(), y.data(), kSize);
    hash.add(y);
    hash.print(label<T>("math nan", kMathFunctions[i]));
  }
  for (size_t i = 0; i < kActivations.size(); ++i) {
    const auto parameter = static_cast<T>(kActivations[i].initial);
    Hash hash;
    kernels.activations[i].forward(x.data(), y.data(), kSize, parameter);
    hash.add(y);
    kernels.activations[i].backward(other.data(), x.data(), y.data(), kSize, parameter);
    hash.add(y);
    hash.print(label<T>("math activation nan", kActivations[i].name));
  }
  for (size_t i = 0; i < static_cast<size_t>(kCountOf<Optimizer>); ++i) {
    std::vector<T> w = x, states[3] = {other, x, other};
    const double values[] = {0.9, 0.5, 1e-8, 0.01, 0};
    OptimizerStep step{3, 0.1, values, 0, 1};
    OptimizerArguments<T> arguments{kSize, w.data(), other.data(), {}, T(0.9), T(1), T(2), {}};
    for (size_t s = 0; s < 3; ++s) arguments.states[s] = states[s].data();
    kernels.optimizers[i].prepare(step, arguments.coefficients);
    kernels.optimizers[i].step(arguments);
    Hash hash;
    for (const std::vector<T>& result : {w, states[0], states[1], states[2]}) hash.add(result);
    hash.print(label<T>("optimizer nan", kOptimizers[i].name));
  }
  Hash hash;
  kernels.multiply(x.data(), other.data(), y.data(), kSize);
  hash.add(y);
  kernels.add_scaled(T(0.3), x.data(), y.data(), kSize);
  hash.add(y);
  hash.add(kernels.dot(x.data(), other.data(), kSize));
  kernels.column_sums(x.data(), 5, 101, 101, y.data(), false);
  kernels.finish_gradient(y.data(), x.data(), kSize, T(0.1), T(0.2), T(1), false);
  hash.add(y);
  hash.print(label<T>("vector nan", "all"));
}

template <class T>
void print_special_norms(const Variant& variant) {
  const KernelTable<T>& kernels = kernels_of<T>(variant);
  constexpr int64_t kRows = 43, kColumns = 37;
  const std::vector<T> x = uniform<T>(kRows * kColumns, 1, -2, 2),
                       bad = specials<T>(kRows * kColumns, 3), scale = specials<T>(kColumns, 4);
  for (const bool is_batch : {false, true}) {
    Hash hash;
    for (const std::vector<T>& input : {x, bad}) {
      std::vector<T> mean(kColumns), variance(kColumns), normalized = input, inverse(kRows), y = x,
                                                         grad_x = x, grad_scale(kColumns),
                                                         grad_shift(kColumns);
      const NormForward<T> forward{kRows,           kColumns,          kColumns,       input.data(),
                                   scale.data(),    scale.data(),      T(1e-5),        mean.data(),
                                   variance.data(), normalized.data(), inverse.data(), y.data()};
      const NormBackward<T> backward{
          kRows,          kColumns,     kColumns,      bad.data(),        normalized.data(),
          inverse.data(), scale.data(), grad_x.data(), grad_scale.data(), grad_shift.data(),
          false,          false};
      if (is_batch) {
        kernels.batch_norm_statistics(forward);
        kernels.batch_norm_predict(forward);
        kernels.batch_norm_backward(backward);
      } else {
        kernels.layer_norm_forward(forward);
        kernels.layer_norm_backward(backward);
        kernels.norm_parameter_gradients(backward);
      }
      for (const std::vector<T>* result :
           {&mean, &variance, &normalized, &inverse, &y, &grad_x, &grad_scale, &grad_shift}) {
        hash.add(*result);
      }
    }
    hash.print(label<T>("norm nan", is_batch ? "batch" : "layer"));
  }
}

template <class T>
void print_initial_weights(const Variant& variant) {
  Team team(1, variant);
  for (size_t i = 0; i < kInitializers.size(); ++i) {
    std::vector<T> weight(37 * 23), bias(23);
    initialize_layer<T>(team, static_cast<Initializer>(i), 5, 1, 37, 23, weight.data(),
                        bias.data());
    Hash hash;
    hash.add(weight);
    hash.add(bias);
    hash.print(label<T>("initializer", kInitializers[i]));
  }
}

void print_schedules() {
  const std::array<std::vector<double>, kSchedules.size()> values = {{
      {},
      {2, 0.5},
      {0.9},
      {0.5},
      {0.1, 0.01},
      {0.3, 25, 1e4},
      {0.1, 5, 0, 0},
  }};
  for (size_t i = 0; i < kSchedules.size(); ++i) {
    const ScheduleSpec spec{static_cast<Schedule>(i), 0.1, values[i]};
    Hash hash;
    for (int64_t step = 0; step < 210; ++step) hash.add(learning_rate(spec, step, 20, 200));
    hash.print("schedule " + std::string(kSchedules[i].name));
  }
  std::vector<int64_t> order(1001);
  Team team;
  chainrule::shuffle(team, 3, 4, order.data(), 1001);
  Hash hash;
  hash.add(order);
  hash.print("shuffle");
}

struct TrainingSize {
  int64_t rows = 150, batch_size = 32, width = 37;
  int64_t steps = 200;
  bool standardizes = false;
  int64_t shards = 0;
};

// Steps with layer and batch normalization, penalties, clipping, and dropout but for L-BFGS, which
// wants the same function in every step. Without batch normalization, batches of 64 rows and more
// go through in groups, in parts, or in as many shards as are asked for.
template <class T>
void print_training(const Variant& variant, const std::string& name, const OptimizerSpec& optimizer,
                    double rate, Norm second_norm = Norm::kBatch, const TrainingSize& size = {},
                    Precision precision = Precision::kFull) {
  constexpr int64_t kInputs = 13, kClasses = 5;
  const int64_t steps = std::max<int64_t>(1, size.steps / step_divisor);
  const std::vector<T> x = uniform<T>(size.rows * kInputs, 1, -2, 2);
  std::vector<int32_t> labels(static_cast<size_t>(size.rows));
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<int32_t>(x[i * kInputs] > 0) + 2 * (x[i * kInputs + 1] > 0);
  }
  const double dropout = has_step(optimizer) ? 0.2 : 0;
  const auto hidden = [dropout](int64_t width, Activation activation, Norm norm) {
    return LayerSpec{width, activation, 0.01, dropout, norm, true, Initializer::he_uniform};
  };
  LayerSpec first = hidden(size.width, Activation::gelu, Norm::kLayer);
  first.standardizes = size.standardizes;
  Team team(1, variant);
  Network<T> model(kInputs,
                   {first, hidden(size.width * 24 / 37, Activation::relu, second_norm),
                    hidden(17, Activation::mish, Norm::kNone), LayerSpec{kClasses}},
                   11, team);
  if (size.standardizes) {
    model.standardize(team, x.data(), size.rows);
  }
  TrainerOptions options;
  options.loss = {Loss::cross_entropy, 0.05, {}};
  options.optimizer = optimizer;
  options.schedule = {Schedule::cosine, rate, {0.1, 0.1}};
  options.penalty = {1e-5, 1e-4, false};
  options.clip_norm = 5;
  options.seed = 12;
  options.shards = size.shards;
  Trainer<T> trainer(model, options);
  trainer.set_precision(precision);
  trainer.bind({x.data(), size.rows, kInputs, {nullptr, 0, labels.data(), nullptr}},
               size.batch_size, true, steps);
  Hash hash;
  while (trainer.step_count < steps) {
    const RunResult result = trainer.run(team, steps - trainer.step_count);
    hash.add(trainer.progress.loss_sum);
    if (result.steps == 0) break;
    if (result.status == RunStatus::kEpochEnd) trainer.finish_epoch();
  }
  hash.add(model.parameters().data(), model.parameters().size());
  hash.add(model.statistics().data(), model.statistics().size());
  hash.print(label<T>("training", name));
}

template <class T>
void print_trainings(const Variant& variant) {
  const auto train = [&](const char* name, Optimizer optimizer, double decay,
                         std::vector<double> values, double rate) {
    print_training<T>(variant, name, {optimizer, decay, std::move(values)}, rate);
  };
  train("sgd", Optimizer::sgd, 0, {0, 0}, 1e-2);
  train("nesterov", Optimizer::sgd, 1e-3, {0.9, 1}, 1e-2);
  train("rmsprop", Optimizer::rmsprop, 0, {0.99, 1e-8, 0.5, 1}, 1e-3);
  train("adagrad", Optimizer::adagrad, 0, {1e-10, 0.1}, 1e-2);
  train("adam", Optimizer::adam, 0, {0.9, 0.999, 1e-8, 0, 0}, 1e-3);
  train("amsgrad", Optimizer::adam, 1e-2, {0.9, 0.999, 1e-8, 1, 0}, 1e-3);
  train("nadam", Optimizer::nadam, 0, {0.9, 0.999, 1e-8, 0.004}, 2e-3);
  train("lion", Optimizer::lion, 1e-2, {0.9, 0.99}, 1e-4);
  const OptimizerSpec adam{Optimizer::adam, 0, {0.9, 0.999, 1e-8, 0, 0}};
  print_training<T>(variant, "groups", adam, 1e-3, Norm::kNone, {150, 150});
  print_training<T>(variant, "large groups", adam, 1e-3, Norm::kNone, {9001, 9001, 37, 4});
  print_training<T>(variant, "parts", adam, 1e-3, Norm::kNone, {2101, 2101, 370, 2});
  print_training<T>(variant, "standardized", adam, 1e-3, Norm::kNone, {150, 150, 37, 200, true});
  for (const Precision precision : {Precision::kBf16x6, Precision::kBf16x3, Precision::kBf16}) {
    if (std::is_same_v<T, double>) break;
    print_training<T>(variant, in_precision("adam", precision), adam, 1e-3, Norm::kBatch, {},
                      precision);
    print_training<T>(variant, in_precision("parts", precision), adam, 1e-3, Norm::kNone,
                      {2101, 2101, 370, 2}, precision);
  }
  const OptimizerSpec lbfgs{Optimizer::lbfgs, 0, {10, 1e-9, 25}};
  print_training<T>(variant, "lbfgs", lbfgs, 1.0);
  for (const int64_t shards : {1, 2, 3, 8, 16}) {
    const std::string in_shards = std::to_string(shards).insert(0, "shards ");
    print_training<T>(variant, in_shards, adam, 1e-3, Norm::kLayer,
                      {150, 150, 37, 200, false, shards});
    print_training<T>(variant, in_shards + " lbfgs", lbfgs, 1.0, Norm::kNone,
                      {150, 150, 37, 20, false, shards});
    print_training<T>(variant, in_shards + " parts", adam, 1e-3, Norm::kNone,
                      {2101, 2101, 370, 2, false, shards});
    if (std::is_same_v<T, double>) continue;
    print_training<T>(variant, in_precision(in_shards + " parts", Precision::kBf16x3), adam, 1e-3,
                      Norm::kNone, {2101, 2101, 370, 2, false, shards}, Precision::kBf16x3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) step_divisor = std::atoll(argv[2]);
  if (argc < 2 || argc > 3 || step_divisor < 1) {
    std::fprintf(stderr, "usage: print_hashes VARIANT [STEP_DIVISOR]\n");
    return 2;
  }
  const Variant* named = nullptr;
  try {
    named = &variant_named(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  const Variant& variant = *named;
  const FlushToZero guard;
  print_elementwise<float>(variant);
  print_elementwise<double>(variant);
  for (const bool has_nans : {false, true}) {
    print_dense<float>(variant, has_nans);
    print_dense<double>(variant, has_nans);
    print_losses<float>(variant, has_nans);
    print_losses<double>(variant, has_nans);
  }
  print_specials<float>(variant);
  print_specials<double>(variant);
  print_special_norms<float>(variant);
  print_special_norms<double>(variant);
  print_vectors<float>(variant);
  print_vectors<double>(variant);
  print_initial_weights<float>(variant);
  print_initial_weights<double>(variant);
  print_schedules();
  print_trainings<float>(variant);
  print_trainings<double>(variant);
  return 0;
}
