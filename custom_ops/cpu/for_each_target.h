// Compiles the header named by KERNELS once per instruction set, each time in a namespace of its own, so that one
// portable binary holds them all. No include guard: every .cc includes it once for its own kernels. KERNELS must not
// include standard headers: what they define inline would be compiled for the wider instruction set, and the linker
// might keep that copy for everybody. PICK(function) is the variant to run: see instructions.cc. PPEFFCONV_ONLY leaves one
// of them, 0, 1 or 2 from narrow to wide, in builds that only test, which so take a third of the time.
#ifndef KERNELS
#error "define KERNELS as the quoted name of the header to compile"
#endif

#if !defined(PPEFFCONV_ONLY) || PPEFFCONV_ONLY == 0
#define VECTOR_BYTES 16
namespace generic {
#include KERNELS
}
#undef VECTOR_BYTES
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

#if !defined(PPEFFCONV_ONLY) || PPEFFCONV_ONLY == 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VECTOR_BYTES 32
namespace avx2 {
#include KERNELS
}
#undef VECTOR_BYTES
#pragma GCC pop_options
#endif

#if !defined(PPEFFCONV_ONLY) || PPEFFCONV_ONLY == 2
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#define VECTOR_BYTES 64
namespace avx512 {
#include KERNELS
}
#undef VECTOR_BYTES
#pragma GCC pop_options
#endif

extern "C" int ppeffconv_instructions();  // one function, in whichever namespace this is included

#if !defined(PPEFFCONV_ONLY)
#define PICK(function)                                \
  (ppeffconv_instructions() == 2   ? avx512::function \
   : ppeffconv_instructions() == 1 ? avx2::function   \
                                   : generic::function)
#elif PPEFFCONV_ONLY == 2
#define PICK(function) avx512::function
#elif PPEFFCONV_ONLY == 1
#define PICK(function) avx2::function
#else
#define PICK(function) generic::function
#endif
#else
#define PICK(function) generic::function
#endif
