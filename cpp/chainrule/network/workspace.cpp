#include "network/workspace.hpp"

namespace chainrule {
namespace {

// Places begin at cache lines, and three of them apart from where they would: rows of equal numbers
// in different places are then not a multiple of 4096 bytes apart, which processors confuse.
constexpr int64_t kSkewBytes = 3 * static_cast<int64_t>(kAlignment);

template <class T>
int64_t place_size(const Place& place, int64_t capacity) {
  constexpr auto kLine = static_cast<int64_t>(kAlignment / sizeof(T));
  const int64_t size = checked_sum(checked_product(capacity, place.row_size), place.fixed_size);
  return size == 0 ? 0 : (size + kLine - 1) / kLine * kLine + kSkewBytes / int64_t{sizeof(T)};
}

}  // namespace

template <class T>
void Workspace<T>::reserve(const Plan& plan, int64_t capacity) {
  if (plan_ == &plan && capacity <= capacity_) return;
  int64_t total = 0;
  for (const Place& place : plan.places()) {
    total = checked_sum(total, place_size<T>(place, capacity));
  }
  plan_ = nullptr;  // should the memory be refused
  memory_.reserve_scratch(total);
  places_.resize(plan.places().size());
  T* next = memory_.data();
  for (size_t i = 0; i < places_.size(); ++i) {
    places_[i] = {next, plan.places()[i].row_size};
    next += place_size<T>(plan.places()[i], capacity);
  }
  plan_ = &plan;
  capacity_ = capacity;
  layers.resize(plan.layers().size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const Plan::LayerPlaces& places = plan.layers()[i];
    layers[i].y = at(places.y);
    layers[i].grad_y = at(places.grad_y);
    for (size_t k = 0; k < kMostKept; ++k) layers[i].kept[k] = at(places.kept[k]);
  }
}

template <class T>
typename LayerMemory<T>::Array Workspace<T>::at(int place) const {
  if (place == Plan::kNone) return {};
  return places_[static_cast<size_t>(place)];
}

template <class T>
typename LayerMemory<T>::Array Workspace<T>::output_of(size_t layer) const {
  return at(plan_->layers()[layer].y);
}

template struct Workspace<float>;
template struct Workspace<double>;

}  // namespace chainrule
