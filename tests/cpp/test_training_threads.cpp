// Trainings on several threads, alone and side by side: the same bits as on one. For the thread
// sanitizer too.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "kernels/registry.hpp"
#include "training/trainer.hpp"

namespace {

using chainrule::Activation;
using chainrule::Context;
using chainrule::Dataset;
using chainrule::Interrupt;
using chainrule::LayerSpec;
using chainrule::Loss;
using chainrule::Network;
using chainrule::Norm;
using chainrule::Optimizer;
using chainrule::OptimizerSpec;
using chainrule::RunStatus;
using chainrule::Team;
using chainrule::Trainer;
using chainrule::TrainerOptions;
using chainrule::Variant;

constexpr int64_t kRows = 301, kInputs = 37, kOutputs = 5, kBatchSize = 150;

template <class T>
std::vector<T> uniform(int64_t size, uint32_t index) {
  const chainrule::RandomStream stream(3, chainrule::RandomPurpose::kWeights, index);
  std::vector<T> values;
  for (int64_t i = 0; i < size; ++i) {
    values.push_back(static_cast<T>(2 * stream.uniform(static_cast<uint64_t>(i)) - 1));
  }
  return values;
}

// Wide enough that every pass is divided.
std::vector<LayerSpec> layers(bool has_dropout) {
  const auto hidden = [&](int64_t width, Activation activation, Norm norm) {
    LayerSpec spec{width};
    spec.activation = activation;
    spec.norm = norm;
    spec.dropout = has_dropout ? 0.2 : 0;
    return spec;
  };
  return {hidden(150, Activation::relu, Norm::kNone), hidden(131, Activation::gelu, Norm::kLayer),
          hidden(97, Activation::tanh, Norm::kBatch), LayerSpec{kOutputs}};
}

template <class T>
struct Data {
  std::vector<T> x = uniform<T>(kRows * kInputs, 1), y = uniform<T>(kRows * kOutputs, 2);

  Dataset<T> dataset() const {
    return {x.data(), kRows, kInputs, {y.data(), kOutputs, nullptr, nullptr}};
  }
};

TrainerOptions options_of(const OptimizerSpec& optimizer) {
  TrainerOptions options;
  options.loss.loss = Loss::mse;
  options.optimizer = optimizer;
  options.schedule.learning_rate = has_step(optimizer) ? 1e-3 : 1.0;
  options.penalty = {1e-5, 1e-5, false};
  options.clip_norm = 1;
  return options;
}

template <class T>
std::vector<T> parameters_of(const Network<T>& model) {
  return {model.parameters().data(), model.parameters().data() + model.parameters().size()};
}

// The parameters after some epochs, then what the network predicts.
template <class T>
std::vector<T> trained(Team& team, const Data<T>& data, const OptimizerSpec& optimizer) {
  Network<T> model(kInputs, layers(has_step(optimizer)), 0);
  Trainer<T> trainer(model, options_of(optimizer));
  trainer.bind(data.dataset(), kBatchSize, true, 10);
  for (int epoch = 0; epoch < 3; ++epoch) {
    trainer.run(team, 1000);
    trainer.finish_epoch();
  }
  std::vector<T> result = parameters_of(model);
  std::vector<T> outputs(static_cast<size_t>(kRows * kOutputs));
  model.predict(team, data.x.data(), kRows, outputs.data());
  result.insert(result.end(), outputs.begin(), outputs.end());
  return result;
}

template <class T>
std::vector<T> trained(const Data<T>& data, const OptimizerSpec& optimizer, int threads) {
  Team team(threads);
  return trained(team, data, optimizer);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

const OptimizerSpec kAdam{Optimizer::adam, 1e-2, {0.9, 0.999, 1e-8, 1, 0}};
const OptimizerSpec kLbfgs{Optimizer::lbfgs, 0, {5, 1e-12, 25}};

template <class T>
void check_thread_counts() {
  const Data<T> data;
  for (const OptimizerSpec& optimizer : {kAdam, kLbfgs}) {
    const std::vector<T> expected = trained(data, optimizer, 1);
    for (const int threads : {2, 3, 8}) {
      CAPTURE(threads);
      CAPTURE(has_step(optimizer));
      CHECK(same_bits(trained(data, optimizer, threads), expected));
    }
  }
}

TEST_CASE("any number of threads trains the same bits") {
  check_thread_counts<float>();
  check_thread_counts<double>();
}

// Rows in groups or parts, with and without class weights; then a layer whose inputs are copied by
// blocks.
template <class T>
std::vector<T> classified(int threads, int64_t batch_size, bool has_weights, int64_t inputs,
                          int64_t width, int epochs = 3) {
  constexpr int64_t kClasses = 5;
  LayerSpec first{width}, second{width};
  first.activation = Activation::gelu;
  first.norm = Norm::kLayer;
  first.dropout = 0.2;
  second.activation = Activation::relu;
  Network<T> model(inputs, {first, second, LayerSpec{kClasses}}, 1);
  const int64_t rows = 2 * batch_size + 17;
  const std::vector<T> x = uniform<T>(rows * inputs, 3);
  std::vector<int32_t> labels(static_cast<size_t>(rows));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i * 7 % kClasses);
  TrainerOptions options;
  options.loss.loss = Loss::cross_entropy;
  if (has_weights) options.loss.values = {1, 2, 3, 1, 2};
  options.optimizer = kAdam;
  options.schedule.learning_rate = 1e-3;
  options.clip_norm = 1;
  Trainer<T> trainer(model, options);
  Team team(threads);
  trainer.bind({x.data(), rows, inputs, {nullptr, 0, labels.data(), nullptr}}, batch_size, true,
               10);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    trainer.run(team, 1000);
    trainer.finish_epoch();
  }
  return parameters_of(model);
}

template <class T>
void check_groups() {
  for (const bool has_weights : {false, true}) {
    for (const int64_t batch_size : {64, 150, 400}) {
      CAPTURE(batch_size);
      const std::vector<T> expected = classified<T>(1, batch_size, has_weights, 37, 90);
      for (const int threads : {2, 3, 8}) {
        CHECK(same_bits(classified<T>(threads, batch_size, has_weights, 37, 90), expected));
      }
    }
  }
}

TEST_CASE("any number of threads takes groups of rows to the same bits") {
  check_groups<float>();
  check_groups<double>();
  const std::vector<float> expected = classified<float>(1, 70, false, 1100, 270);
  for (const int threads : {2, 5}) {
    CHECK(same_bits(classified<float>(threads, 70, false, 1100, 270), expected));
  }
}

// 17 groups of several walks each; then two parts, of one row more and one less.
template <class T>
void check_large_batches() {
  for (const bool has_weights : {false, true}) {
    const std::vector<T> groups = classified<T>(1, 17 * 1024, has_weights, 11, 20, 1);
    const std::vector<T> parts = classified<T>(1, 2101, has_weights, 37, 270, 1);
    for (const int threads : {2, 3, 8}) {
      CAPTURE(threads);
      CHECK(same_bits(classified<T>(threads, 17 * 1024, has_weights, 11, 20, 1), groups));
      CHECK(same_bits(classified<T>(threads, 2101, has_weights, 37, 270, 1), parts));
    }
  }
}

TEST_CASE("any number of threads takes large batches to the same bits") {
  check_large_batches<float>();
  check_large_batches<double>();
}

TEST_CASE("trainings side by side share the pool and no more") {
  const Data<float> data;
  const std::vector<float> expected = trained(data, kAdam, 1);
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> threads;
  for (std::vector<float>& result : results) {
    threads.emplace_back([&] { result = trained(data, kAdam, 3); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& result : results) CHECK(same_bits(result, expected));
}

TEST_CASE("predictions side by side on one network are those of one thread") {
  Network<float> model(kInputs, layers(false), 0);
  const Data<float> data;
  const auto predicted = [&](int count) {
    std::vector<float> outputs(static_cast<size_t>(kRows * kOutputs));
    Team team(count);
    model.predict(team, data.x.data(), kRows, outputs.data());
    return outputs;
  };
  const std::vector<float> expected = predicted(1);
  std::vector<int> different(4, 0);
  std::vector<std::thread> threads;
  for (int& count : different) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) count += same_bits(predicted(2), expected) ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : different) CHECK(count == 0);
}

TEST_CASE("trainers that take turns with one team train the bits of teams of their own") {
  constexpr size_t kTrainers = 3;
  const Data<float> data;
  const std::vector<OptimizerSpec> optimizers = {kAdam, kLbfgs, kAdam};
  std::vector<Network<float>> models;
  for (const OptimizerSpec& optimizer : optimizers) {
    models.emplace_back(kInputs, layers(has_step(optimizer)), 0);
  }
  std::vector<std::unique_ptr<Trainer<float>>> trainers;
  Team team(3);
  for (size_t i = 0; i < kTrainers; ++i) {
    trainers.push_back(std::make_unique<Trainer<float>>(models[i], options_of(optimizers[i])));
    trainers[i]->bind(data.dataset(), kBatchSize, true, 10);
  }
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (const auto& trainer : trainers) {
      trainer->run(team, 1);
      CHECK(team.most_threads() == 3);
    }
    for (const auto& trainer : trainers) {
      trainer->run(team, 1000);
      trainer->finish_epoch();
    }
  }
  for (size_t i = 0; i < kTrainers; ++i) {
    std::vector<float> expected = trained(data, optimizers[i], 1);
    expected.resize(static_cast<size_t>(models[i].parameters().size()));
    CAPTURE(i);
    CHECK(same_bits(parameters_of(models[i]), expected));
  }
}

std::atomic<bool> stops{false};

TEST_CASE("one interrupt stops the trainers of all its teams") {
  constexpr int64_t kTrainers = 5;
  const Data<float> data;
  stops = false;
  Interrupt interrupt([] { return stops.load(); });
  std::vector<Network<float>> models;
  std::vector<std::unique_ptr<Trainer<float>>> trainers;
  std::vector<RunStatus> ends(kTrainers, RunStatus::kRunning);
  for (int64_t i = 0; i < kTrainers; ++i) models.emplace_back(kInputs, layers(true), 0);
  for (Network<float>& model : models) {
    trainers.push_back(std::make_unique<Trainer<float>>(model, options_of(kAdam)));
  }
  // A trainer to a thread, each with a team of one. They train until they are stopped.
  std::thread other([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stops = true;
  });
  Team outer(interrupt, 3);
  outer.run(kTrainers, int64_t{1} << 40, [&](Context&, int64_t i) {
    Trainer<float>& trainer = *trainers[static_cast<size_t>(i)];
    Team inner(interrupt);
    trainer.bind(data.dataset(), kBatchSize, true, int64_t{1} << 40);
    RunStatus& end = ends[static_cast<size_t>(i)];
    while (end == RunStatus::kRunning || end == RunStatus::kEpochEnd) {
      end = trainer.run(inner, 1000).status;
      if (end == RunStatus::kEpochEnd) trainer.finish_epoch();
    }
  });
  other.join();
  CHECK(outer.is_stopped());
  // Those that no thread had taken by then never began.
  int64_t interrupted = 0;
  for (const RunStatus end : ends) {
    CHECK((end == RunStatus::kInterrupted || end == RunStatus::kRunning));
    interrupted += end == RunStatus::kInterrupted ? 1 : 0;
  }
  CHECK(interrupted >= 1);
  CHECK(interrupted <= 3);
}

TEST_CASE("teams train on their own variants at the same time") {
  const Data<float> data;
  const std::vector<const Variant*> variants = chainrule::supported_variants();
  std::vector<std::vector<float>> expected, results(variants.size());
  for (const Variant* variant : variants) {
    Team team(1, *variant);
    expected.push_back(trained(team, data, kAdam));
  }
  std::vector<std::thread> threads;
  for (size_t i = 0; i < variants.size(); ++i) {
    threads.emplace_back([&, i] {
      Team team(2, *variants[i]);
      results[i] = trained(team, data, kAdam);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < variants.size(); ++i) {
    CAPTURE(std::string(variants[i]->name));
    CHECK(same_bits(results[i], expected[i]));
  }
  // The default of the process was not theirs.
  if (variants.size() > 1) CHECK_FALSE(same_bits(expected.front(), expected.back()));
}

// The variants that give the same bits.
std::vector<const Variant*> fused_variants() {
  std::vector<const Variant*> variants = chainrule::supported_variants();
  std::erase_if(variants,
                [](const Variant* variant) { return std::string(variant->name) == "baseline"; });
  return variants;
}

TEST_CASE("a training does not notice when another variant is made active") {
  const std::vector<const Variant*> variants = chainrule::supported_variants();
  const Variant& before = chainrule::active_variant();
  const Data<float> data;
  const std::vector<float> expected = trained(data, kAdam, 2);
  std::atomic<bool> is_done{false};
  Team team(2, before);
  std::thread other([&] {
    for (size_t i = 0; !is_done; ++i) {
      chainrule::set_active_variant(*variants[i % variants.size()]);
    }
  });
  const std::vector<float> result = trained(team, data, kAdam);
  is_done = true;
  other.join();
  chainrule::set_active_variant(before);
  CHECK(same_bits(result, expected));
}

TEST_CASE("forward and backward may run on different variants") {
  const Data<float> data;
  for (const Variant* first : fused_variants()) {
    for (const Variant* second : fused_variants()) {
      std::vector<float> gradients[2];
      for (const bool changes : {false, true}) {
        Network<float> model(kInputs, layers(false), 0);
        chainrule::Workspace<float> workspace;
        Team team(1, *first);
        model.forward(team, workspace, data.x.data(), kRows, true, 0);
        team.begin(1, changes ? *second : *first);
        std::copy_n(data.y.data(), kRows * kOutputs, workspace.output_gradient());
        std::vector<float>& gradient = gradients[changes ? 1 : 0];
        gradient.resize(static_cast<size_t>(model.parameters().size()));
        chainrule::Gradient<float> total(gradient.data(), model.parameters().size());
        model.backward(team, workspace, data.x.data(), nullptr, total);
      }
      CHECK(same_bits(gradients[0], gradients[1]));
    }
  }
}

}  // namespace
