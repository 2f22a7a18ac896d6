// The network as Python holds it: with a gradient and what `forward` leaves for `backward`. Shared
// by register_network.cpp and register_training.cpp.
#pragma once

#include <stdexcept>

#include "arrays.hpp"
#include "interpreter.hpp"
#include "network/network.hpp"

namespace chainrule::bindings {

template <class T>
struct BoundNetwork;

// Marks a model as in use while its workspace, gradient or parameters are worked on. Python's lock
// keeps other threads out; this keeps out a signal handler that interrupts such a call.
template <class T>
class InUse {
 public:
  explicit InUse(BoundNetwork<T>& model) : model_(model) {
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
  BoundNetwork<T>& model_;
};

template <class T>
struct BoundNetwork {
  explicit BoundNetwork(Network<T> made) : network(std::move(made)) {}

  // Made when first needed: a network that only predicts needs none.
  AlignedBuffer<T>& gradient_buffer() {
    gradient.reserve(network.parameters().size());
    return gradient;
  }

  Gradient<T> new_gradient() { return {gradient_buffer().data(), network.parameters().size()}; }

  Network<T> network;
  AlignedBuffer<T> gradient;
  Precision precision = Precision::kFull;
  Workspace<T> workspace;
  SignalTeam team;         // of the calls that take an InUse, of trainers too
  bool is_in_use = false;  // read and written with the GIL held
  // Of the last forward, kept for backward; 0 rows after one that did not end.
  Array<T> input{std::vector<py::ssize_t>{0, 0}};
  int64_t input_rows = 0;
};

}  // namespace chainrule::bindings
