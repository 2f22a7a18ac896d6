// The training loop: batches of an epoch, forward, loss, backward, clipping, optimizer step. One
// trainer holds the optimizer's state for one network. The caller hands each call the team that
// does the work, begun: it says on how many threads, on which variant, and whether to stop.
// Trainers that take turns may share one; those that run at the same time have one each. Called by
// the bindings without the GIL; epochs, validation and early stopping are Python's
// (python/chainrule/_training.py).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "network/network.hpp"
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
  int64_t shards = 0;  // of a batch, see network/walk.hpp; 0: as many as are fastest
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
  double loss = 0;  // mean of the last step's batch
  RunStatus status = RunStatus::kRunning;
};

// The place in an epoch: all that the rest of the epoch needs of its steps so far.
struct EpochProgress {
  int64_t rows = 0, steps = 0;          // rows passed, steps taken
  double loss_sum = 0, weight_sum = 0;  // over the steps, of loss * weight and of weight
  double penalty_sum = 0;               // of penalty * weight; not of L-BFGS

  void add(const LossValue& loss) {
    loss_sum += loss.value * loss.weight;
    weight_sum += loss.weight;
  }
};

template <class T>
class Trainer {
 public:
  Trainer(Network<T>& network, TrainerOptions options);

  // One step on one batch.
  RunResult step(Team& team, const Batch<T>& batch);

  // The data of the epochs to come; `run` resumes at the place in `progress`. The arrays must
  // outlive the use.
  void bind(const Dataset<T>& data, int64_t batch_size, bool shuffles, int64_t total_epochs);
  // Forgets them, and frees what has their size.
  void unbind() {
    data_ = {};
    order_ = std::vector<int64_t>();
  }

  // Up to max_steps steps of the current epoch, or to the end of its rows, where it stays until
  // `finish_epoch`. L-BFGS takes one iteration over all rows as a step and an epoch.
  RunResult run(Team& team, int64_t max_steps);
  void finish_epoch();

  // Batches of an epoch. The last one is shorter, except that batch norm takes a single leftover
  // row with the batch before it: one row has no variance.
  int64_t batch_count(int64_t rows, int64_t batch_size) const;

  std::array<AlignedBuffer<T>, 3>& states() { return states_; }
  Lbfgs<T>* lbfgs() { return lbfgs_.get(); }  // null for other optimizers
  Precision precision() const { return workspace_.precision; }
  void set_precision(Precision precision) { workspace_.precision = precision; }
  double learning_rate() const { return learning_rate_; }
  void set_learning_rate(double rate) { learning_rate_ = rate; }  // as if of the last step

  int64_t epoch = 0;               // epochs completed
  int64_t step_count = 0;          // steps taken
  double learning_rate_scale = 1;  // multiplies the schedule
  int64_t evaluations = 0;         // of the loss by L-BFGS
  EpochProgress progress;          // of the epoch after the completed ones

 private:
  class FullBatchObjective;

  using Fetch = typename Network<T>::Fetch;
  RunStatus take_step(Team& team, const Batch<T>& batch, const LossScale& scale, const Fetch& fetch,
                      LossValue& loss, double& penalty);
  RunStatus take_lbfgs_step(Team& team, const Batch<T>& batch, const LossScale& scale,
                            LossValue& loss);
  RunStatus update(Team& team, double gradient_scale, bool is_bounded);
  void apply_optimizer(Team& team);
  Penalty penalty_of(double batch_weight) const;
  GradientSummary finish_gradient(Team& team, double batch_weight);
  bool hyperparameters_are_tame() const;
  double scheduled_rate() const;
  int64_t work(int64_t rows) const;
  int64_t next_rows() const;
  int64_t fewest_rows() const { return network_.mixes_rows() ? 2 : 1; }

  // A piece of a parameter block, for passes over the flat buffers.
  struct Piece {
    int64_t offset, size;
    bool is_penalized;
  };

  Network<T>& network_;
  TrainerOptions options_;
  std::vector<Piece> pieces_;
  std::vector<GradientSummary> summaries_;  // by piece
  LossFunction<T> loss_;
  OptimizerStepper<T> stepper_;
  std::unique_ptr<Lbfgs<T>> lbfgs_;
  std::array<AlignedBuffer<T>, 3> states_;  // empty where not kept
  Gradient<T> gradient_;                    // in own_gradient_, or in memory of L-BFGS
  AlignedBuffer<T> own_gradient_;
  AlignedBuffer<T> start_;  // parameters before a line search
  Workspace<T> workspace_;
  ThreadChooser chooser_;
  double learning_rate_ = 0;

  Dataset<T> data_;
  int64_t batch_size_ = 0, total_steps_ = 0, steps_per_epoch_ = 0;
  int64_t whole_batch_ = 0;  // rows of a batch with the share 1: the batch size, or the most so far
  bool shuffles_ = false;
  int64_t shuffled_epoch_ = -1;  // whose order `order_` is
  std::vector<int64_t> order_;
  BatchGatherer<T> gatherer_;
};

}  // namespace chainrule
