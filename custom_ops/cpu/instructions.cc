// Which variant of our kernels runs: the widest that this CPU has, or a lesser one named by PPEFFCONV_CPU, for tests
// and for machines whose wide vectors are slow or broken.
#include <cstdlib>
#include <cstring>

namespace {

enum Variant { kGeneric, kAvx2, kAvx512 };

Variant widest() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2;
#endif
  return kGeneric;
}

Variant choose() {
#ifdef PPEFFCONV_ONLY
  return static_cast<Variant>(PPEFFCONV_ONLY);
#endif
  const char* wanted = std::getenv("PPEFFCONV_CPU");
  if (wanted == nullptr) return widest();
  if (std::strcmp(wanted, "generic") == 0) return kGeneric;
  return std::strcmp(wanted, "avx2") == 0 && widest() == kAvx512 ? kAvx2 : widest();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int ppeffconv_instructions() {
  static const Variant chosen = choose();
  return chosen;
}
