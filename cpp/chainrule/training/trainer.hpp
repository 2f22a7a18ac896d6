// The training loop: batches of an epoch, forward, loss, backward, clipping, optimizer step. One
// trainer holds the optimizer's state for one network. Called by the bindings without the GIL;
// epochs, validation and early stopping are Python's (python/chainrule/_training.py).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "network/mlp.hpp"
#include "training/batches.hpp"
#include "training/lbfgs.hpp"
#include "training/optimizer.hpp"
#include "training/schedule.hpp"
#include "training/thread_chooser.hpp"

namespace chainrule {

struct TrainerOptions {
  LossSpec loss;
  OptimizerSpec optimizer;
  ScheduleSpec schedule;
  Penalty penalty;
  bool divide_penalties = false;  // by the weight of each batch, as the mean loss is
  double clip_norm = 0;           // 0: none
  double clip_value = 0;          // 0: none
  uint64_t seed = 0;
};

// Why `run` returned. With the last four a loss, a gradient, an updated parameter or a batch
// statistic was not finite; that step was not taken and the parameters are those before it.
enum class RunStatus {
  kRunning,
  kEpochEnd,
  kConverged,
  kLineSearch,  // L-BFGS found no lower point along a descent direction
  kInterrupted,
  kLoss,
  kGradient,
  kParameters,
  kStatistics,
};

struct RunResult {
  int64_t steps = 0;
  double loss_sum = 0, weight_sum = 0;  // sums over the steps of loss * weight, and of weight
  RunStatus status = RunStatus::kRunning;
};

template <class T>
class Trainer {
 public:
  Trainer(Mlp<T>& model, TrainerOptions options);

  // One step on one batch.
  RunResult step(const Batch<T>& batch);

  // The data of the epochs to come; `run` then starts an epoch. The arrays must outlive the use.
  void bind(const Dataset<T>& data, int64_t batch_size, bool shuffles, int64_t total_epochs);
  void unbind() { data_ = {}; }

  // Up to max_steps steps of the current epoch, or to its end. L-BFGS takes one iteration over all
  // rows as a step and an epoch.
  RunResult run(int64_t max_steps);

  Interrupt& interrupt() { return team_.interrupt(); }
  std::array<AlignedBuffer<T>, 3>& states() { return states_; }
  Lbfgs<T>* lbfgs() { return lbfgs_.get(); }  // null for other optimizers
  Precision precision() const { return workspace_.precision; }
  void set_precision(Precision precision) { workspace_.precision = precision; }
  double learning_rate() const { return learning_rate_; }
  void set_learning_rate(double rate) { learning_rate_ = rate; }  // as if of the last step

  int threads = 0;                 // at most; 0: as many as the process is set to
  int64_t epoch = 0;               // epochs completed
  int64_t step_count = 0;          // steps taken
  double learning_rate_scale = 1;  // multiplies the schedule
  int64_t evaluations = 0;         // of the loss by L-BFGS
  double penalty_sum = 0;  // over the steps of the epoch, of penalty * weight; not of L-BFGS

 private:
  class FullBatchObjective;

  using Fetch = typename Mlp<T>::Fetch;
  RunStatus take_step(const Batch<T>& batch, const LossScale& scale, const Fetch& fetch,
                      LossValue& loss);
  RunStatus take_lbfgs_step(const Batch<T>& batch, const LossScale& scale, LossValue& loss);
  RunStatus update(double gradient_scale, bool is_bounded);
  void apply_optimizer();
  Penalty penalty_of(double batch_weight) const;
  GradientSummary finish_gradient(double batch_weight);
  bool hyperparameters_are_tame() const;
  double scheduled_rate() const;
  int64_t work(int64_t rows) const;

  // A piece of a parameter block, for passes over the flat buffers.
  struct Piece {
    int64_t offset, size;
    bool is_penalized;
  };

  Mlp<T>& model_;
  TrainerOptions options_;
  std::vector<Piece> pieces_;
  std::vector<GradientSummary> summaries_;  // by piece
  LossFunction<T> loss_;
  OptimizerStepper<T> stepper_;
  std::unique_ptr<Lbfgs<T>> lbfgs_;
  std::array<AlignedBuffer<T>, 3> states_;  // empty where not kept
  AlignedBuffer<T> gradient_;
  Workspace<T> workspace_;
  Team team_;
  ThreadChooser chooser_;
  double learning_rate_ = 0;

  Dataset<T> data_;
  int64_t batch_size_ = 0, position_ = 0, total_steps_ = 0, steps_per_epoch_ = 0;
  bool shuffles_ = false;
  std::vector<int64_t> order_;
  BatchGatherer<T> gatherer_;
};

}  // namespace chainrule
