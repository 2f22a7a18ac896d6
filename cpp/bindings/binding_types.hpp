// The network as Python holds it: with a gradient and what `forward` leaves for `backward`. Shared
// by register_network.cpp and register_training.cpp.
#pragma once

#include <stdexcept>

#include "arrays.hpp"
#include "network/mlp.hpp"

namespace chainrule::bindings {

template <class T>
struct BoundMlp;

// Marks a model as in use while its workspace, gradient or parameters are worked on. Python's lock
// keeps other threads out; this keeps out a signal handler that interrupts such a call.
template <class T>
class InUse {
 public:
  explicit InUse(BoundMlp<T>& model) : model_(model) {
    if (model.is_in_use) {
      throw std::runtime_error(
          "the model must not be used by a signal handler that interrupts its own training or "
          "differentiation");
    }
    model.is_in_use = true;
  }
  ~InUse() { model_.is_in_use = false; }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  BoundMlp<T>& model_;
};

template <class T>
struct BoundMlp {
  explicit BoundMlp(Mlp<T> network) : mlp(std::move(network)) {}

  // Made when first needed: a network that only predicts needs none.
  AlignedBuffer<T>& gradient_buffer() {
    gradient.reserve(mlp.parameters().size());
    return gradient;
  }

  Mlp<T> mlp;
  AlignedBuffer<T> gradient;
  Precision precision = Precision::kFull;
  Workspace<T> workspace;
  Team team;
  bool is_in_use = false;  // read and written with the GIL held
  // Of the last forward, kept for backward; 0 rows after one that did not end.
  Array<T> input{std::vector<py::ssize_t>{0, 0}};
  int64_t input_rows = 0;
};

}  // namespace chainrule::bindings
