#include "training/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/one_nan.hpp"
#include "kernels/registry.hpp"

namespace chainrule {
namespace {

// Below this size gradient elements can be squared, and with tame hyperparameters no update can
// leave the range of T.
template <class T>
constexpr T kSmallGradient = std::is_same_v<T, float> ? T(1e15) : T(1e120);

// Elements of a piece of the flat buffers: enough pieces for threads to share, each no less than a
// microsecond of an optimizer.
int64_t piece_size(int64_t parameters) {
  return std::clamp<int64_t>(parameters / 64, 2048, 16384) / kVirtualLanes * kVirtualLanes;
}

// Has a step use as many threads as the chooser says, and tells it the time when the step is over,
// unless that compares with no other: steps of fewer rows, and of L-BFGS. The team then has all its
// threads again.
class StepTimer {
 public:
  StepTimer(ThreadChooser& chooser, Team& team, int64_t work, bool is_whole)
      : chooser_(chooser), team_(team), is_whole_(is_whole) {
    chooser.prepare(team.most_threads(), work);
    team.use_threads(chooser.threads());
  }
  ~StepTimer() {
    team_.use_threads(team_.most_threads());
    if (!is_whole_) return;
    chooser_.took(std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count());
  }
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;

 private:
  ThreadChooser& chooser_;
  Team& team_;
  bool is_whole_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Whether a step ended with a loss to report.
bool has_loss(RunStatus status) {
  return status == RunStatus::kRunning || status == RunStatus::kConverged ||
         status == RunStatus::kLineSearch;
}

}  // namespace

template <class T>
Trainer<T>::Trainer(Network<T>& network, TrainerOptions options)
    : network_(network),
      options_(std::move(options)),
      loss_(options_.loss),
      stepper_(options_.optimizer),
      gradient_(nullptr, network.parameters().size()) {
  workspace_.shards = options_.shards;
  const int64_t size = network.parameters().size();
  const int64_t most = piece_size(size);
  for (const ParameterBlock& block : network.blocks()) {
    for (int64_t done = 0; done < block.size(); done += most) {
      pieces_.push_back({block.offset + done, std::min(most, block.size() - done),
                         options_.penalty.applies_to(block)});
    }
  }
  summaries_.resize(pieces_.size());
  const OptimizerStates states = states_of(options_.optimizer);
  for (size_t i = 0; i < states.size(); ++i) {
    if (!states[i].is_kept) continue;
    states_[i] = AlignedBuffer<T>(size);
    std::fill_n(states_[i].data(), size, static_cast<T>(states[i].start));
  }
  if (has_step(options_.optimizer)) {
    own_gradient_ = AlignedBuffer<T>(size);
    gradient_.redirect(own_gradient_.data());
  } else {
    start_ = AlignedBuffer<T>(size);
    const std::vector<double>& v = options_.optimizer.values;
    lbfgs_ = std::make_unique<Lbfgs<T>>(size, static_cast<int64_t>(v[0]), v[1],
                                        static_cast<int64_t>(v[2]));
  }
}

template <class T>
int64_t Trainer<T>::batch_count(int64_t rows, int64_t batch_size) const {
  return std::max<int64_t>(1, rows / batch_size + (rows % batch_size >= fewest_rows() ? 1 : 0));
}

// How many rows the next batch of the epoch has.
template <class T>
int64_t Trainer<T>::next_rows() const {
  const int64_t left = data_.rows - progress.rows;
  return left - batch_size_ < fewest_rows() ? left : batch_size_;
}

template <class T>
void Trainer<T>::bind(const Dataset<T>& data, int64_t batch_size, bool shuffles,
                      int64_t total_epochs) {
  data_ = data;
  batch_size_ = lbfgs_ ? data.rows : std::min(batch_size, data.rows);
  whole_batch_ = batch_size_;
  shuffles_ = shuffles && !lbfgs_;
  shuffled_epoch_ = -1;
  steps_per_epoch_ = batch_count(data.rows, batch_size_);
  total_steps_ = checked_product(steps_per_epoch_, total_epochs);
  if (lbfgs_) lbfgs_->forget_value();
  const int64_t last = data.rows - (steps_per_epoch_ - 1) * batch_size_;
  const int64_t rows = std::max(network_.walk(workspace_, batch_size_).kept_rows(),
                                network_.walk(workspace_, last).kept_rows());
  if (shuffles_) {
    order_.resize(static_cast<size_t>(data.rows));
    gatherer_.reserve(data, rows);
  }
  network_.reserve(workspace_, rows);
}

template <class T>
RunResult Trainer<T>::run(Team& team, int64_t max_steps) {
  RunResult result;
  if (progress.rows == 0) progress = {};
  if (shuffles_ && shuffled_epoch_ != epoch) {
    shuffled_epoch_ = -1;
    shuffle(team, options_.seed, static_cast<uint32_t>(epoch), order_.data(),
            static_cast<int64_t>(order_.size()));
    if (team.is_stopped()) {
      result.status = RunStatus::kInterrupted;
      return result;
    }
    shuffled_epoch_ = epoch;
  }
  while (progress.rows < data_.rows) {
    if (result.steps == max_steps) return result;
    const int64_t rows = next_rows();
    const int64_t steps_left = std::min(max_steps - result.steps, steps_per_epoch_);
    const StepTimer timer(chooser_, team, work(batch_size_), !lbfgs_ && rows == batch_size_);
    team.wake(work(std::min(steps_left * batch_size_, data_.rows - progress.rows)));
    const Batch<T> batch = shuffles_ ? gatherer_.batch(data_, rows)
                                     : BatchGatherer<T>::slice(data_, progress.rows, rows);
    const int64_t* order = shuffles_ ? order_.data() + progress.rows : nullptr;
    const auto fetch = [this, order](RowRange range, int64_t to) {
      gatherer_.copy(data_, order, range, to);
    };
    const LossScale scale =
        loss_.scale(rows, network_.out_features(), shuffles_ ? data_.targets : batch.targets,
                    Reduction::kMean, order);
    LossValue loss{};
    double penalty = 0;
    result.status =
        take_step(team, batch, scale, shuffles_ ? Fetch(fetch) : Fetch(), loss, penalty);
    if (has_loss(result.status)) {
      progress.add(loss);
      result.loss = loss.weight > 0 ? one_nan(loss.value) : 0;
    }
    if (result.status != RunStatus::kRunning) return result;
    progress.penalty_sum += penalty * loss.weight;
    progress.rows += rows;
    ++progress.steps;
    ++result.steps;
  }
  result.status = RunStatus::kEpochEnd;
  return result;
}

template <class T>
void Trainer<T>::finish_epoch() {
  ++epoch;
  progress = {};
}

template <class T>
RunResult Trainer<T>::step(Team& team, const Batch<T>& batch) {
  RunResult result;
  LossValue value{};
  double penalty = 0;
  const StepTimer timer(chooser_, team, work(batch.rows), !lbfgs_);
  if (lbfgs_) lbfgs_->forget_value();
  whole_batch_ = std::max(whole_batch_, batch.rows);
  const LossScale scale =
      loss_.scale(batch.rows, network_.out_features(), batch.targets, Reduction::kMean);
  result.status = take_step(team, batch, scale, {}, value, penalty);
  if (has_loss(result.status)) {
    result.steps = result.status == RunStatus::kRunning ? 1 : 0;
    result.loss = value.weight > 0 ? one_nan(value.value) : 0;
  }
  return result;
}

// The reference path of a step. Nothing before `update` changes the network, so an interrupted or
// failed step was never taken.
template <class T>
RunStatus Trainer<T>::take_step(Team& team, const Batch<T>& batch, const LossScale& scale,
                                const Fetch& fetch, LossValue& loss, double& penalty) {
  if (lbfgs_) return take_lbfgs_step(team, batch, scale, loss);
  loss = network_.differentiate(team, workspace_,
                                {batch.x, batch.rows, batch.targets, loss_, scale, true,
                                 static_cast<uint64_t>(step_count), nullptr, fetch},
                                gradient_);
  if (team.stop_requested()) return RunStatus::kInterrupted;
  if (!std::isfinite(loss.value)) return RunStatus::kLoss;
  if (!network_.statistics_are_finite(workspace_)) return RunStatus::kStatistics;

  GradientSummary summary = finish_gradient(team, loss.weight);
  loss.value = one_nan(loss.value + summary.penalty);
  if (!std::isfinite(loss.value)) return RunStatus::kLoss;
  if (!summary.is_small) {
    const T* gradient = gradient_.data();
    if (!team.kernels<T>().all_finite(gradient, gradient_.size())) return RunStatus::kGradient;
    summary.sum_of_squares = 0;  // the squares may have left the range of T
    for (int64_t i = 0; i < gradient_.size(); ++i) {
      summary.sum_of_squares += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    }
  }
  double gradient_scale = 1;
  if (options_.clip_norm > 0) {
    gradient_scale = std::min(1.0, options_.clip_norm / (std::sqrt(summary.sum_of_squares) + 1e-6));
  }
  learning_rate_ = scheduled_rate();
  const RunStatus status =
      update(team, gradient_scale, summary.is_small && hyperparameters_are_tame());
  if (status == RunStatus::kRunning) {
    network_.commit_statistics(workspace_,
                               static_cast<double>(batch.rows) / static_cast<double>(whole_batch_));
    ++step_count;
    penalty = summary.penalty;
  }
  return status;
}

// Multiply-adds of steps over `rows` rows: three products per layer.
template <class T>
int64_t Trainer<T>::work(int64_t rows) const {
  return 3 * rows * network_.parameters().size();
}

template <class T>
double Trainer<T>::scheduled_rate() const {
  return learning_rate_scale *
         chainrule::learning_rate(options_.schedule, step_count, steps_per_epoch_, total_steps_);
}

// Whether a small gradient cannot bring parameters or states out of range within a step. 1e-12
// stands below every epsilon in use: 1e15 / 1e-12 * 1e3 = 1e30 is in float's range.
template <class T>
bool Trainer<T>::hyperparameters_are_tame() const {
  const OptimizerSpec& spec = options_.optimizer;
  const int index = info(spec.optimizer).epsilon;
  const double epsilon = index < 0 ? 1 : spec.values[static_cast<size_t>(index)];
  return learning_rate_ <= 1e3 && learning_rate_ * spec.weight_decay <= 1 && epsilon >= 1e-12;
}

template <class T>
Penalty Trainer<T>::penalty_of(double batch_weight) const {
  Penalty penalty = options_.penalty;
  if (options_.divide_penalties) {
    const double share = batch_weight > 0 ? 1 / batch_weight : 0;
    penalty.l1 *= share;
    penalty.l2 *= share;
  }
  return penalty;
}

// Completes the gradient and adds the penalties. The pieces' sums are added in the order of the
// pieces.
template <class T>
GradientSummary Trainer<T>::finish_gradient(Team& team, double batch_weight) {
  const Penalty penalty = penalty_of(batch_weight);
  gradient_.for_pieces(team, pieces_, gradient_.size() * kElementWork,
                       [&](Context& context, int64_t index, T* values) {
                         const Piece& piece = pieces_[static_cast<size_t>(index)];
                         summaries_[static_cast<size_t>(index)] =
                             context.kernels<T>().finish_gradient(
                                 values, network_.parameters().data() + piece.offset, piece.size,
                                 piece.is_penalized ? static_cast<T>(penalty.l1) : T{0},
                                 piece.is_penalized ? static_cast<T>(penalty.l2) : T{0},
                                 kSmallGradient<T>, options_.clip_norm > 0);
                       });
  GradientSummary total{0, 0, true};
  for (const GradientSummary& summary : summaries_) {
    total.sum_of_squares += summary.sum_of_squares;
    total.penalty += summary.penalty;
    total.is_small = total.is_small && summary.is_small;
  }
  return total;
}

template <class T>
void Trainer<T>::apply_optimizer(Team& team) {
  // Square roots and divisions: an element costs several times what a pass over it does.
  team.run_whole(static_cast<int64_t>(pieces_.size()), gradient_.size() * 4 * kElementWork,
                 [&](Context&, int64_t index) {
                   const Piece& piece = pieces_[static_cast<size_t>(index)];
                   OptimizerSlice<T> slice{network_.parameters().data() + piece.offset,
                                           gradient_.data() + piece.offset,
                                           {},
                                           piece.size,
                                           piece.is_penalized};
                   for (size_t i = 0; i < states_.size(); ++i) {
                     if (!states_[i].empty()) slice.states[i] = states_[i].data() + piece.offset;
                   }
                   stepper_.apply(slice);
                 });
}

template <class T>
RunStatus Trainer<T>::update(Team& team, double gradient_scale, bool is_bounded) {
  stepper_.prepare(team.kernels<T>(), step_count + 1, learning_rate_, gradient_scale,
                   options_.clip_value);
  if (is_bounded) {
    apply_optimizer(team);
    return RunStatus::kRunning;
  }
  // The update may leave the range of T: keep a copy to go back to.
  AlignedBuffer<T> parameters = network_.parameters();
  std::array<AlignedBuffer<T>, 3> states = states_;
  apply_optimizer(team);
  const KernelTable<T>& kernels = team.kernels<T>();
  bool is_finite = kernels.all_finite(network_.parameters().data(), parameters.size());
  for (const AlignedBuffer<T>& state : states_) {
    is_finite = is_finite && kernels.all_finite(state.data(), state.size());
  }
  if (is_finite) return RunStatus::kRunning;
  std::copy_n(parameters.data(), parameters.size(), network_.parameters().data());
  for (size_t i = 0; i < states.size(); ++i) {
    std::copy_n(states[i].data(), states[i].size(), states_[i].data());
  }
  return RunStatus::kParameters;
}

// The penalized loss of one batch as a function of the parameters, written to the model in place.
template <class T>
class Trainer<T>::FullBatchObjective final : public Lbfgs<T>::Objective {
 public:
  FullBatchObjective(Trainer& trainer, Team& team, const Batch<T>& batch, const Penalty& penalty)
      : t_(trainer), team_(team), batch_(batch), penalty_(penalty) {}

  double evaluate(const T* parameters, T* gradient) override {
    ++t_.evaluations;
    AlignedBuffer<T>& own = t_.network_.parameters();
    if (parameters != own.data()) std::copy_n(parameters, own.size(), own.data());
    t_.gradient_.redirect(gradient);
    const double value = t_.network_.loss_and_gradient(
        team_, t_.workspace_, batch_.x, batch_.rows, batch_.targets, t_.loss_, Reduction::kMean,
        penalty_, true, static_cast<uint64_t>(t_.step_count), nullptr, t_.gradient_);
    // A point that batch norm cannot hold is no point to go to.
    return t_.network_.statistics_are_finite(t_.workspace_)
               ? value
               : std::numeric_limits<double>::quiet_NaN();
  }
  bool is_stopped() override { return team_.stop_requested(); }

 private:
  Trainer& t_;
  Team& team_;
  const Batch<T>& batch_;
  Penalty penalty_;
};

template <class T>
RunStatus Trainer<T>::take_lbfgs_step(Team& team, const Batch<T>& batch, const LossScale& scale,
                                      LossValue& loss) {
  using Outcome = typename Lbfgs<T>::Outcome;
  learning_rate_ = scheduled_rate();
  FullBatchObjective objective(*this, team, batch, penalty_of(scale.weight));
  // The line search tries points in the network's own buffer.
  std::copy_n(network_.parameters().data(), start_.size(), start_.data());
  double value = 0;
  const Outcome outcome =
      lbfgs_->iterate(team.kernels<T>(), objective, learning_rate_, start_.data(), value);
  std::copy_n(start_.data(), start_.size(), network_.parameters().data());
  loss = {value, static_cast<double>(batch.rows)};
  switch (outcome) {
    case Outcome::kMoved:
      network_.commit_statistics(workspace_, 1);
      ++step_count;
      return RunStatus::kRunning;
    case Outcome::kConverged:
      return RunStatus::kConverged;
    case Outcome::kNoDescent:
      return RunStatus::kLineSearch;
    case Outcome::kStopped:
      return RunStatus::kInterrupted;
    case Outcome::kNotFinite:
      break;
  }
  return std::isfinite(value) ? RunStatus::kGradient : RunStatus::kLoss;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace chainrule
