// A steady step allocates nothing: every form of operator new is counted here, and calls of malloc
// from the library are counted where the linker can wrap them.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "kernels/registry.hpp"
#include "training/trainer.hpp"

namespace {

int64_t allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  // Sizes of aligned_alloc are multiples of the alignment.
  void* memory = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#if defined(CHAINRULE_MALLOC_IS_WRAPPED)
extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void* __real_realloc(void* memory, std::size_t size);
void* __wrap_malloc(std::size_t size);
void* __wrap_calloc(std::size_t count, std::size_t size);
void* __wrap_realloc(void* memory, std::size_t size);

void* __wrap_malloc(std::size_t size) {
  ++allocations;
  return __real_malloc(size);
}
void* __wrap_calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __real_calloc(count, size);
}
void* __wrap_realloc(void* memory, std::size_t size) {
  ++allocations;
  return __real_realloc(memory, size);
}
}
#endif

namespace {

using chainrule::Activation;
using chainrule::Batch;
using chainrule::Dataset;
using chainrule::Initializer;
using chainrule::LayerSpec;
using chainrule::Loss;
using chainrule::Network;
using chainrule::Norm;
using chainrule::Optimizer;
using chainrule::OptimizerSpec;
using chainrule::RunResult;
using chainrule::RunStatus;
using chainrule::Team;
using chainrule::Trainer;
using chainrule::TrainerOptions;

constexpr int64_t kRows = 107, kInputs = 19, kOutputs = 7, kBatchSize = 16;

template <class T>
struct Data {
  std::vector<T> x = random(kRows * kInputs, 1), y = random(kRows * kOutputs, 2),
                 weights = random(kRows, 3);

  static std::vector<T> random(int64_t size, uint32_t index) {
    const chainrule::RandomStream stream(5, chainrule::RandomPurpose::kWeights, index);
    std::vector<T> values;
    for (int64_t i = 0; i < size; ++i) {
      values.push_back(static_cast<T>(stream.uniform(static_cast<uint64_t>(i))));
    }
    return values;
  }
  Dataset<T> dataset() const {
    return {x.data(), kRows, kInputs, {y.data(), kOutputs, nullptr, weights.data()}};
  }
};

// L-BFGS wants the same function in every step, so it gets no dropout.
std::vector<LayerSpec> layers(bool has_dropout) {
  const auto hidden = [&](int64_t width, Activation activation, Norm norm) {
    return LayerSpec{
        width, activation, 0.01, has_dropout ? 0.3 : 0, norm, true, Initializer::he_uniform};
  };
  std::vector<LayerSpec> specs = {hidden(33, Activation::gelu, Norm::kLayer),
                                  hidden(24, Activation::relu, Norm::kBatch),
                                  hidden(17, Activation::tanh, Norm::kNone), LayerSpec{kOutputs}};
  specs[0].standardizes = true;
  return specs;
}

struct Setting {
  const char* name;
  OptimizerSpec optimizer;
};

std::vector<Setting> settings() {
  return {{"sgd", {Optimizer::sgd, 1e-3, {0.9, 1}}},
          {"rmsprop", {Optimizer::rmsprop, 0, {0.99, 1e-8, 0.5, 1}}},
          {"adagrad", {Optimizer::adagrad, 0, {1e-10, 0}}},
          {"adam", {Optimizer::adam, 1e-2, {0.9, 0.999, 1e-8, 1, 0}}},
          {"nadam", {Optimizer::nadam, 0, {0.9, 0.999, 1e-8, 0.004}}},
          {"lion", {Optimizer::lion, 0, {0.9, 0.99}}},
          {"lbfgs", {Optimizer::lbfgs, 0, {5, 1e-12, 25}}}};
}

TrainerOptions options_of(const OptimizerSpec& optimizer) {
  TrainerOptions options;
  options.loss.loss = Loss::mse;
  options.optimizer = optimizer;
  options.schedule.learning_rate = has_step(optimizer) ? 1e-3 : 1.0;
  options.penalty = {1e-5, 1e-5, false};
  options.clip_norm = 1;
  options.clip_value = 0.5;
  return options;
}

template <class T>
void run_steps(Team& team, Trainer<T>& trainer, int64_t steps) {
  while (steps > 0) {
    const RunResult result = trainer.run(team, steps);
    if (result.steps == 0) return;
    if (result.status == RunStatus::kEpochEnd) trainer.finish_epoch();
    steps -= result.steps;
  }
}

template <class T>
void standardize(Network<T>& model, const Data<T>& data) {
  Team team;
  model.standardize(team, data.x.data(), kRows);
}

template <class T>
void check_steady_steps(bool shuffles) {
  const Data<T> data;
  for (const chainrule::Variant* variant : chainrule::supported_variants()) {
    for (const Setting& setting : settings()) {
      Network<T> model(kInputs, layers(has_step(setting.optimizer)), 0);
      standardize(model, data);
      Trainer<T> trainer(model, options_of(setting.optimizer));
      Team team(1, *variant);
      trainer.bind(data.dataset(), kBatchSize, shuffles, 100);
      // An epoch and more: every batch size has been seen, and L-BFGS has its pairs.
      run_steps(team, trainer, 10);
      const int64_t steps_before = trainer.step_count, before = allocations;
      run_steps(team, trainer, 50);
      const int64_t after = allocations;
      CAPTURE(std::string(variant->name));
      CAPTURE(std::string(setting.name));
      CHECK(after - before == 0);
      CHECK(trainer.step_count > steps_before);
    }
  }
}

TEST_CASE("the counter counts") {
  const int64_t before = allocations;
  const std::vector<double> values(100);
  const chainrule::AlignedBuffer<float> buffer(10);
  CHECK(allocations - before == 2);
}

TEST_CASE("fifty steady steps on shuffled rows allocate nothing") {
  check_steady_steps<float>(true);
}

TEST_CASE("fifty steady steps on rows in order allocate nothing") {
  check_steady_steps<double>(false);
}

TEST_CASE("steady steps on batches that go through in groups or parts allocate nothing") {
  constexpr int64_t kLargeRows = 2100;
  const std::vector<float> x = Data<float>::random(kLargeRows * kInputs, 4),
                           y = Data<float>::random(kLargeRows * kOutputs, 5),
                           weights = Data<float>::random(kLargeRows, 6);
  using chainrule::Precision;
  for (const auto& [width, precision] : {std::pair{20, Precision::kFull},
                                         {270, Precision::kFull},
                                         {20, Precision::kBf16x6},
                                         {270, Precision::kBf16}}) {
    LayerSpec hidden{width};
    hidden.norm = Norm::kLayer;
    hidden.dropout = 0.2;
    Network<float> model(kInputs, {hidden, hidden, LayerSpec{kOutputs}}, 0);
    Trainer<float> trainer(model, options_of(settings()[3].optimizer));
    trainer.set_precision(precision);
    Team team;
    trainer.bind({x.data(), kLargeRows, kInputs, {y.data(), kOutputs, nullptr, weights.data()}},
                 kLargeRows, true, 100);
    run_steps(team, trainer, 2);
    const int64_t before = allocations;
    run_steps(team, trainer, 3);
    const int64_t after = allocations;
    CAPTURE(width);
    CAPTURE(static_cast<int>(precision));
    CHECK(after - before == 0);
    CHECK(trainer.step_count == 5);
  }
}

TEST_CASE("a single step on a batch no larger than one before allocates nothing") {
  const Data<float> data;
  const Dataset<float> all = data.dataset();
  Network<float> model(kInputs, layers(true), 0);
  standardize(model, data);
  Trainer<float> trainer(model, options_of(settings()[3].optimizer));
  Team team;
  trainer.step(team, {all.x, 20, all.targets});
  const int64_t before = allocations;
  team.begin(1);
  trainer.step(team, {all.x, 20, all.targets});
  team.begin(1);
  trainer.step(team, {all.x, 3, all.targets});
  const int64_t after = allocations;
  CHECK(after - before == 0);
  CHECK(trainer.step_count == 3);
}

}  // namespace
