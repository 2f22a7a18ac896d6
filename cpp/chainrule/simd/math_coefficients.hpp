// Polynomials and constants of math.hpp, written by math_coefficients.sollya. Included by
// math.hpp alone. Coefficients stand in ascending order.
#pragma once

namespace chainrule {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr float kLog2High = 0x1.62e4p-1F;
  static constexpr float kLog2Low = 0x1.7f7d1cp-20F;
  static constexpr float kLog2 = 0x1.62e43p-1F;
  static constexpr float kLog2E = 0x1.715476p0F;
  static constexpr float kExpMin = -0x1.5d589ep6F;
  static constexpr float kExpMax = 0x1.62e42ep6F;
  static constexpr float kPowerMax = 0x1.601e66p6F;

  // exp(r) = 1 + r + r^2 p(r), |r| <= log(2) / 2
  static constexpr float kExp[] = {0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558f2p-5F, 0x1.1239e4p-7F,
                                   0x1.6a2458p-10F};

  // exp(2 r) = 1 + 2 r + r^2 p(r), |r| <= log(2) / 4
  static constexpr float kExpDoubled[] = {0x1.fffffcp0F, 0x1.555492p0F, 0x1.5558f2p-1F,
                                          0x1.1239e4p-2F, 0x1.6a2458p-4F};

  // tanh(x) = x + x^3 p(x^2), |x| <= kTanhLimit
  static constexpr float kTanh[] = {-0x1.55554cp-2F, 0x1.110eccp-3F,  -0x1.b9bb82p-5F,
                                    0x1.627c42p-6F,  -0x1.0d04a2p-7F, 0x1.4b8a3ap-9F,
                                    -0x1.c88798p-12F};

  // log(1 + f) = f + f^2 p(f), sqrt(1/2) - 1 <= f <= sqrt(2) - 1
  static constexpr float kLog[] = {-0x1.fffff8p-2F, 0x1.55555p-2F,   -0x1.000426p-2F,
                                   0x1.99a3f2p-3F,  -0x1.54276ep-3F, 0x1.22719cp-3F,
                                   -0x1.0f3766p-3F, 0x1.084864p-3F,  -0x1.383022p-4F};

  // log(1 + z) = z + z^2 p(z), 0 <= z <= 1
  static constexpr float kLog1p[] = {
      -0x1.fffff8p-2F, 0x1.5553b6p-2F,  -0x1.ffc59ep-3F, 0x1.978b56p-3F, -0x1.4a72c6p-3F,
      0x1.ff2976p-4F,  -0x1.54f2aap-4F, 0x1.5901fap-5F,  -0x1.c0a82p-7F, 0x1.113bd4p-9F};

  // erf(x) = x + x p(x^2), |x| <= kErfLimit
  static constexpr float kErf[] = {0x1.06eba6p-3F,  -0x1.8126ecp-2F, 0x1.ce1b86p-4F,
                                   -0x1.b69b8ep-6F, 0x1.479c18p-8F,  -0x1.3ba5aap-11F};

  // log(erfc(a)) = p(a - kErfLimit), kErfLimit <= a <= kErfTailLimit
  static constexpr float kErfTail[] = {-0x1.88672ep0F,  -0x1.37116ap1F, -0x1.a73212p-1F,
                                       -0x1.7fab9ep-5F, 0x1.6ec604p-7F, -0x1.0a67d2p-9F,
                                       0x1.a33924p-13F};

  // Phi(-a) exp(a^2 / 2) = p(q) / (a + k), q = (a - k) / (a + k), k = kPhiCenter
  static constexpr float kPhi[] = {0x1.82b4bcp-1F,   -0x1.373e3ap-1F, 0x1.8c6dcp-2F,
                                   -0x1.7dfefp-3F,   0x1.eec512p-5F,  -0x1.ee77bep-8F,
                                   -0x1.c8bca6p-9F,  0x1.b02678p-10F, 0x1.579a94p-13F,
                                   -0x1.fcd384p-13F, -0x1.d27d8ep-15F};

  static constexpr float kTanhLimit = 0x1.d70a3ep-1F;
  static constexpr float kErfLimit = 0x1.cp-1F;
  static constexpr float kErfTailLimit = 0x1.f851ecp1F;
  static constexpr float kPhiLimit = 0x1.a66666p3F;
  static constexpr float kPhiCenter = 0x1p2F;
};

template <>
struct MathConstants<double> {
  static constexpr double kLog2High = 0x1.62e42fefa38p-1;
  static constexpr double kLog2Low = 0x1.ef35793c7673p-45;
  static constexpr double kLog2 = 0x1.62e42fefa39efp-1;
  static constexpr double kLog2E = 0x1.71547652b82fep0;
  static constexpr double kExpMin = -0x1.6232bdd7abcd2p9;
  static constexpr double kExpMax = 0x1.62e42fefa39efp9;
  static constexpr double kPowerMax = 0x1.628b76e3a7b6p9;

  // exp(r) = 1 + r + r^2 p(r), |r| <= log(2) / 2
  static constexpr double kExp[] = {
      0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.555555555087bp-5,  0x1.1111111127bdp-7,
      0x1.6c16c1842a5dcp-10, 0x1.a01a012a609c3p-13, 0x1.a0199a0b945c2p-16, 0x1.71df253aa17e9p-19,
      0x1.28ad7393efbd6p-22, 0x1.ad7f9a36a4354p-26};

  // exp(2 r) = 1 + 2 r + r^2 p(r), |r| <= log(2) / 4
  static constexpr double kExpDoubled[] = {
      0x1.000000000000ap1,   0x1.55555555554fap0,  0x1.555555555087bp-1, 0x1.1111111127bdp-2,
      0x1.6c16c1842a5dcp-4,  0x1.a01a012a609c3p-6, 0x1.a0199a0b945c2p-8, 0x1.71df253aa17e9p-10,
      0x1.28ad7393efbd6p-12, 0x1.ad7f9a36a4354p-15};

  // tanh(x) = x + x^3 p(x^2), |x| <= kTanhLimit
  static constexpr double kTanh[] = {
      -0x1.55555555554ffp-2,  0x1.111111110ac94p-3,  -0x1.ba1ba1b503b71p-5,  0x1.664f477a653b5p-6,
      -0x1.226e161ffcffp-7,   0x1.d6cf268db074cp-9,  -0x1.7d6893c853f94p-10, 0x1.3365ae2b19cfbp-11,
      -0x1.df524ba76b443p-13, 0x1.4389e5a7591e4p-14, -0x1.0d98fdf30757fp-16};

  // 2 atanh(s) = 2 s + s^3 p(s^2), |s| <= 3 - 2 sqrt(2)
  static constexpr double kLog[] = {
      0x1.5555555555592p-1, 0x1.999999997ff63p-2, 0x1.24924941db4cp-2, 0x1.c71c521a16cc9p-3,
      0x1.74663ba3d0b79p-3, 0x1.39a20b9832fcdp-3, 0x1.2f0251f547d1dp-3};

  // log(1 + z) = z + z^2 p(z), 0 <= z <= 1
  static constexpr double kLog1p[] = {
      -0x1.fffffffffffeep-2, 0x1.5555555554755p-2, -0x1.ffffffff84b57p-3,  0x1.999999882f507p-3,
      -0x1.555553d7c55ebp-3, 0x1.2492336314921p-3, -0x1.fffe3e2b9b58ep-4,  0x1.c70f05863940ep-4,
      -0x1.994b77d1914d5p-4, 0x1.72fa73001ef3dp-4, -0x1.5057661b829c2p-4,  0x1.2c96a02fee22bp-4,
      -0x1.0246f906fd6f6p-4, 0x1.9c269a3012177p-5, -0x1.25275853708f8p-5,  0x1.63f56343131a5p-6,
      -0x1.6053d91fea1f1p-7, 0x1.0d7f86a00cdf5p-8, -0x1.28473e3d00f79p-10, 0x1.9e1c41b5cb1c8p-13,
      -0x1.133c3c21acf47p-16};

  // erf(x) = x + x p(x^2), |x| <= kErfLimit
  static constexpr double kErf[] = {
      0x1.06eba8214db69p-3,  -0x1.812746b037a2bp-2,  0x1.ce2f21a04622ap-4,  -0x1.b82ce31395cc2p-6,
      0x1.565bcd392f6d8p-8,  -0x1.c02dbbebc666fp-11, 0x1.f9a41023ccb63p-14, -0x1.f4e371d43509cp-17,
      0x1.bab151f49eccep-20, -0x1.650f70aab1e72p-23, 0x1.124cefd125adep-26, -0x1.65c72e8df1a11p-30};

  // log(erfc(a)) = p(a - kErfLimit), kErfLimit <= a <= kErfTailLimit
  static constexpr double kErfTail[] = {
      -0x1.88672ea9b34dcp0,  -0x1.3711709c17b43p1,   -0x1.a730790b4d444p-1,
      -0x1.802c27938a87bp-5, 0x1.730b0e9704651p-7,   -0x1.19049a40f1772p-9,
      0x1.a5137d4fa4403p-13, 0x1.f1574564e1adp-15,   -0x1.4a4db611d40e1p-15,
      0x1.982615215b1afp-17, -0x1.1195b91ad55b5p-19, -0x1.28b8e5097724ap-23,
      0x1.ff5e299e5815ap-23, -0x1.9d4035ae17127p-24, 0x1.ab488ab87466bp-26,
      -0x1.34122f129ef2p-28, 0x1.2de45e35ecf97p-31,  -0x1.6ac642b719899p-35,
      0x1.938e7212dfd1bp-40};

  // Phi(-a) exp(a^2 / 2) = p(q) / (a + k), q = (a - k) / (a + k), k = kPhiCenter
  static constexpr double kPhi[] = {
      0x1.89d3abe1f95aep-1,   -0x1.54ad03f27ca18p-1,  0x1.fb31653876f89p-2,
      -0x1.410ed5f875947p-2,  0x1.51f6329f01b93p-3,   -0x1.1b1c254ca4284p-4,
      0x1.54b4d4f48b4e3p-6,   -0x1.88590e97ff414p-9,  -0x1.a2503778d23b2p-11,
      0x1.1daf1ad42fc37p-11,  -0x1.f21492e6f7b0dp-15, -0x1.a1700f7b9a2fp-15,
      0x1.17df15af68f22p-16,  0x1.0b147f863c92ep-18,  -0x1.73e103b7c5dfcp-19,
      -0x1.673d58ddaac9fp-22, 0x1.d4750982869b7p-22,  0x1.59091e5ca0a43p-25,
      -0x1.2d3de74a27018p-24, -0x1.25a3b656558bbp-27, 0x1.730b0e4dba116p-27,
      0x1.30c28a0943091p-29,  -0x1.3f93501f39e24p-30, -0x1.a3ce1d42240edp-32};

  static constexpr double kTanhLimit = 0x1.4p-1;
  static constexpr double kErfLimit = 0x1.cp-1;
  static constexpr double kErfTailLimit = 0x1.7cccccccccccdp2;
  static constexpr double kPhiLimit = 0x1.2d0a3d70a3d71p5;
  static constexpr double kPhiCenter = 0x1.4p2;
};

}  // namespace
}  // namespace chainrule
