// Layer normalization (Ba, Kiros, Hinton 2016) and batch normalization (Ioffe, Szegedy 2015) with
// an activation as their epilogue: y = f((x - mean) / sqrt(variance + epsilon) * scale + shift).
#pragma once

#include "kernels/lists.hpp"
#include "layers/layer.hpp"

namespace chainrule {

enum class Norm { kNone, kLayer, kBatch };

inline constexpr double kNormEpsilon = 1e-5;
// running = kRunningDecay * running + (1 - kRunningDecay) * batch
inline constexpr double kRunningDecay = 0.9;

struct NormalizationSpec {
  int64_t layer = 0;  // of those that the user listed
  int64_t features = 0;
  Norm norm = Norm::kLayer;  // not kNone
  Activation activation = Activation::identity;
  double parameter = 0;  // of the activation
};

template <class T>
class Normalization final : public Layer<T> {
 public:
  explicit Normalization(const NormalizationSpec& spec);

  void declare(Layout& layout) override;
  void initialize(Team& team, uint64_t seed, T* parameters) const override;
  void reset_statistics(T* statistics) const override;
  bool statistics_are_finite(const LayerMemory<T>& memory, int64_t rows) const override;
  void commit_statistics(const LayerMemory<T>& memory, int64_t rows, double share,
                         T* statistics) const override;

  void prepare(const KernelTable<T>& kernels, const Pass<T>& pass,
               const LayerMemory<T>& memory) const override;
  void mix_forward(Team& team, const Pass<T>& pass, const LayerMemory<T>& memory,
                   const LayerRows<T>& rows) const override;
  void forward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
               const LayerRows<T>& rows) const override;
  void begin_backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                      const LayerRows<T>& rows) const override;
  void mix_backward(Team& team, const Pass<T>& pass, const LayerMemory<T>& memory,
                    const LayerRows<T>& rows, T* gradient) const override;
  void backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows) const override;
  int64_t gradient_pieces(const KernelTable<T>& kernels, const Pass<T>& pass,
                          int64_t rows) const override;
  void gradient(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows, int64_t piece, T* gradient,
                bool continues) const override;

 private:
  bool is_batch() const { return spec_.norm == Norm::kBatch; }
  NormForward<T> forward_arguments(const Pass<T>& pass, const LayerRows<T>& rows, T* y) const;
  NormBackward<T> backward_arguments(const Pass<T>& pass, const LayerRows<T>& rows,
                                     T* gradient) const;
  template <class Body>
  void for_column_pieces(Team& team, int64_t rows, const Body& body) const;

  NormalizationSpec spec_;
  int64_t scale_ = 0, shift_ = 0, running_ = 0;  // offsets
};

}  // namespace chainrule
