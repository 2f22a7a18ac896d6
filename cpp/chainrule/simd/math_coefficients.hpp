// Polynomials and constants of math.hpp, written by math_coefficients.sollya. Included by math.hpp
// alone. Coefficients stand in ascending order.
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
  static constexpr float kExp[] = {
      0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558aap-5F, 0x1.12396ep-7F, 0x1.6a524ep-10F};

  // exp(2 r) = 1 + 2 r + r^2 p(r), |r| <= log(2) / 4
  static constexpr float kExpDoubled[] = {
      0x1.fffffcp0F, 0x1.555492p0F, 0x1.5558aap-1F, 0x1.12396ep-2F, 0x1.6a524ep-4F};

  // tanh(x) = x + x^3 p(x^2), |x| <= kTanhLimit
  static constexpr float kTanh[] = {
      -0x1.55554cp-2F, 0x1.110eccp-3F, -0x1.b9bb82p-5F, 0x1.627c42p-6F, -0x1.0d04a2p-7F,
      0x1.4b8a3ap-9F, -0x1.c88798p-12F};

  // log(1 + f) = f + f^2 p(f), sqrt(1/2) - 1 <= f <= sqrt(2) - 1
  static constexpr float kLog[] = {
      -0x1.fffff8p-2F, 0x1.55555p-2F, -0x1.000438p-2F, 0x1.99a41cp-3F, -0x1.5423e8p-3F,
      0x1.226c84p-3F, -0x1.0f5208p-3F, 0x1.0875p-3F, -0x1.38138ep-4F};

  // log(1 + z) = z + z^2 p(z), 0 <= z <= 1
  static constexpr float kLog1p[] = {
      -0x1.fffff8p-2F, 0x1.5553b6p-2F, -0x1.ffc59ep-3F, 0x1.978b56p-3F, -0x1.4a72c6p-3F,
      0x1.ff2976p-4F, -0x1.54f2aap-4F, 0x1.5901fap-5F, -0x1.c0a82p-7F, 0x1.113bd4p-9F};

  // erf(x) = x + x p(x^2), |x| <= kErfLimit
  static constexpr float kErf[] = {
      0x1.06eba6p-3F, -0x1.8126ecp-2F, 0x1.ce1b86p-4F, -0x1.b69b8ep-6F, 0x1.479c18p-8F,
      -0x1.3ba5aap-11F};

  // log(erfc(a)) = p(a - kErfTC), kErfLimit <= a <= kErfTailLimit
  static constexpr float kErfTail[] = {
      -0x1.c9c1e4p2F, -0x1.4780fep2F, -0x1.e1155ap-1F, -0x1.8623ap-7F, 0x1.6222b4p-9F,
      -0x1.e5941cp-13F, 0x1.a3a28ap-13F};

  // Phi(-a) exp(a^2 / 2) = p((a - k) / (a + k)) / (a + k), k = kPhiCenter, 0 <= a <= kPhiLimit
  static constexpr float kPhi[] = {
      0x1.7d241ap-1F, -0x1.219152p-1F, 0x1.42ff06p-2F, -0x1.db588cp-4F, 0x1.1d0f48p-6F,
      0x1.a8cecap-8F, -0x1.9db3a2p-9F, -0x1.ece3ecp-12F, 0x1.aea166p-12F, 0x1.931a2ap-14F};

  static constexpr float kTanhLimit = 0x1.d70a3ep-1F;
  static constexpr float kErfLimit = 0x1.cp-1F;
  static constexpr float kErfTailLimit = 0x1.f851ecp1F;
  static constexpr float kErfTC = 0x1.3p1F;
  static constexpr float kPhiLimit = 0x1.a66666p3F;
  static constexpr float kPhiCenter = 0x1.cp1F;
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
      0x1.000000000000ap-1, 0x1.555555555550cp-3, 0x1.55555555507abp-5, 0x1.1111111124767p-7,
      0x1.6c16c1843616fp-10, 0x1.a01a0137c7aaap-13, 0x1.a0199a13eef89p-16, 0x1.71df0da1a6605p-19,
      0x1.28ad59c734919p-22, 0x1.ad9df273f87p-26};

  // exp(2 r) = 1 + 2 r + r^2 p(r), |r| <= log(2) / 4
  static constexpr double kExpDoubled[] = {
      0x1.000000000000ap1, 0x1.555555555550cp0, 0x1.55555555507abp-1, 0x1.1111111124767p-2,
      0x1.6c16c1843616fp-4, 0x1.a01a0137c7aaap-6, 0x1.a0199a13eef89p-8, 0x1.71df0da1a6605p-10,
      0x1.28ad59c734919p-12, 0x1.ad9df273f87p-15};

  // tanh(x) = x + x^3 p(x^2), |x| <= kTanhLimit
  static constexpr double kTanh[] = {
      -0x1.55555555554ffp-2, 0x1.111111110ac94p-3, -0x1.ba1ba1b503b71p-5, 0x1.664f477a653b5p-6,
      -0x1.226e161ffcffp-7, 0x1.d6cf268db074cp-9, -0x1.7d6893c853f94p-10, 0x1.3365ae2b19cfbp-11,
      -0x1.df524ba76b443p-13, 0x1.4389e5a7591e4p-14, -0x1.0d98fdf30757fp-16};

  // 2 atanh(s) = 2 s + s^3 p(s^2), |s| <= 3 - 2 sqrt(2)
  static constexpr double kLog[] = {
      0x1.5555555555592p-1, 0x1.999999997ff63p-2, 0x1.24924941db4cp-2, 0x1.c71c521a16cc9p-3,
      0x1.74663ba3d0b79p-3, 0x1.39a20b9832fcdp-3, 0x1.2f0251f547d1dp-3};

  // log(1 + z) = z + z^2 p(z), 0 <= z <= 1
  static constexpr double kLog1p[] = {
      -0x1.fffffffffffeep-2, 0x1.5555555554755p-2, -0x1.ffffffff84b57p-3, 0x1.999999882f507p-3,
      -0x1.555553d7c55ebp-3, 0x1.2492336314921p-3, -0x1.fffe3e2b9b58ep-4, 0x1.c70f05863940ep-4,
      -0x1.994b77d1914d5p-4, 0x1.72fa73001ef3dp-4, -0x1.5057661b829c2p-4, 0x1.2c96a02fee22bp-4,
      -0x1.0246f906fd6f6p-4, 0x1.9c269a3012177p-5, -0x1.25275853708f8p-5, 0x1.63f56343131a5p-6,
      -0x1.6053d91fea1f1p-7, 0x1.0d7f86a00cdf5p-8, -0x1.28473e3d00f79p-10, 0x1.9e1c41b5cb1c8p-13,
      -0x1.133c3c21acf47p-16};

  // erf(x) = x + x p(x^2), |x| <= kErfLimit
  static constexpr double kErf[] = {
      0x1.06eba8214db69p-3, -0x1.812746b037a2bp-2, 0x1.ce2f21a04622ap-4, -0x1.b82ce31395cc2p-6,
      0x1.565bcd392f6d8p-8, -0x1.c02dbbebc666fp-11, 0x1.f9a41023ccb63p-14, -0x1.f4e371d43509cp-17,
      0x1.bab151f49eccep-20, -0x1.650f70aab1e72p-23, 0x1.124cefd125adep-26, -0x1.65c72e8df1a11p-30};

  // log(erfc(a)) = p(a - kErfTC), kErfLimit <= a <= kErfTailLimit
  static constexpr double kErfTail[] = {
      -0x1.a704429d79ea9p3, -0x1.c1941553445f3p2, -0x1.edee47a4af7fep-1, -0x1.74abb6f999563p-8,
      0x1.fd78a84f1c95dp-11, -0x1.5e137f2c3ce7fp-13, 0x1.d6da9005e2d9ep-16,
      -0x1.2f10208447e85p-18, 0x1.6f543b5daccf4p-21, -0x1.b20e3eab375c4p-24,
      0x1.e15e504df6a33p-32, -0x1.8fc866c664032p-28, 0x1.03aa21a00d719p-31, 0x1.641b7b08f57fp-29,
      0x1.e9fbb58bf81e6p-30, 0x1.8438eabc91dcap-31, 0x1.6ff0966970916p-33, 0x1.99740a86d22b1p-36,
      0x1.938e5fca9fa64p-40};

  static constexpr double kPhi[] = {
      0x1.86c626e278bb3p-1, -0x1.47cfdd7a97245p-1, 0x1.c92ad93fe2550p-2, -0x1.03379aa028f1ap-2, 0x1.c8391e19cb940p-4, -0x1.157951c67e437p-5, 0x1.14cc795994f7ep-8, 0x1.ca72085e1ceb2p-10, -0x1.e129dad56b8d7p-11, 0x1.ac3b7e9c32397p-18, 0x1.d5f12fbcf1808p-14, -0x1.0b504814cb1f1p-16, -0x1.ddb5f96cc1e17p-17, 0x1.ac330de909567p-19, 0x1.1ff47735e281bp-19, -0x1.0ca1b55093d1ap-21, -0x1.9bbc1ad93b803p-22, 0x1.0883d9e005352p-24, 0x1.4093ef37eb6dfp-24, -0x1.3d9e6c72e2c99p-29, -0x1.cf7143fd4d7abp-27, -0x1.d92dadb810883p-30, 0x1.b4e6d48c0ce1fp-30, 0x1.ff133245157d2p-32};

  static constexpr double kTanhLimit = 0x1.4p-1;
  static constexpr double kErfLimit = 0x1.cp-1;
  static constexpr double kErfTailLimit = 0x1.7cccccccccccdp2;
  static constexpr double kErfTC = 0x1.bp1;
  static constexpr double kPhiLimit = 37.63;
  static constexpr double kPhiCenter = 4.5;
};

}  // namespace
}  // namespace chainrule
