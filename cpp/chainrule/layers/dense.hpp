// The dense layer: y = f(x W + b). The activation f is its epilogue.
#pragma once

#include "kernels/lists.hpp"
#include "layers/initializers.hpp"
#include "layers/layer.hpp"
#include "ops/dense.hpp"

namespace chainrule {

struct DenseSpec {
  int64_t layer = 0;  // of those that the user listed
  int64_t in_features = 0, out_features = 0;
  bool has_bias = true;
  Initializer initializer = Initializer::glorot_uniform;
  Activation activation = Activation::identity;
  double parameter = 0;  // of the activation
};

template <class T>
class Dense final : public Layer<T> {
 public:
  explicit Dense(const DenseSpec& spec);

  void declare(Layout& layout) override;
  void initialize(Team& team, uint64_t seed, T* parameters) const override;

  bool gains_from_packed(const KernelTable<T>& kernels, const Pass<T>& pass,
                         bool wants_grad_x) const override;
  void reserve_packed(const KernelTable<T>& kernels, const Pass<T>& pass, bool wants_grad_x,
                      LayerMemory<T>& memory) const override;
  int64_t packed_bytes(const KernelTable<T>& kernels, const Pass<T>& pass) const override;
  int64_t packed_pieces(const KernelTable<T>& kernels, const Pass<T>& pass,
                        const LayerMemory<T>& memory, Direction direction) const override;
  void pack(const KernelTable<T>& kernels, const Pass<T>& pass, LayerMemory<T>& memory,
            Direction direction, int64_t piece) const override;

  void forward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
               const LayerRows<T>& rows) const override;
  void backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows) const override;

  int64_t gradient_pieces(const KernelTable<T>& kernels, const Pass<T>& pass,
                          int64_t rows) const override;
  void gradient(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows, int64_t piece, T* gradient,
                bool continues) const override;
  bool needs_team_for_gradient(const KernelTable<T>& kernels, const Pass<T>& pass,
                               int64_t rows) const override;
  void gradient_by_team(Team& team, const Pass<T>& pass, const LayerRows<T>& rows,
                        PackedOperand<T>& scratch, T* gradient, bool continues) const override;

 private:
  DenseShape shape(const Pass<T>& pass, int64_t rows) const {
    return {rows, spec_.in_features, spec_.out_features, this->precision(pass.precision)};
  }
  Weight<T> weight(const KernelTable<T>& kernels, const Pass<T>& pass,
                   const LayerMemory<T>& memory) const;

  DenseSpec spec_;
  int64_t weight_ = 0, bias_ = 0;  // offsets
};

}  // namespace chainrule
