/* Which architecture this build is for, and the pragmas under which a file compiles for one of its
 * instruction sets.
 *
 * A file of an instruction set has, after all includes of the system's headers,
 *
 *   CF_TARGET_BEGIN(CF_TARGET_AVX2)
 *   ... functions that use its intrinsics, and fragments (-inl.h) ...
 *   CF_TARGET_END
 *
 * and tables of those functions after that.  Compiling such a file with options of its own, as
 * -mavx2, would not do: the linker keeps one of several copies of an inline function, maybe one
 * that the CPU cannot run. */
#ifndef CF_CPU_TARGET_H
#define CF_CPU_TARGET_H

#if defined(__x86_64__) || defined(_M_X64)
#define CF_X86_64
#endif

/* 64-bit Arm; vectors are read as if little-endian. */
#if defined(__aarch64__) || defined(_M_ARM64)
#define CF_ARM64
#if !defined(__AARCH64EB__)
#define CF_NEON
#endif
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define CF_MSVC
#endif

/* Instruction sets that compilers have learnt of only lately. */
#if defined(__x86_64__) && \
    (defined(__clang__) ? __clang_major__ >= 12 : defined(__GNUC__) && __GNUC__ >= 11)
#define CF_AVX512BF16
#if defined(__linux__)
#define CF_AMX
#endif
#endif

#define CF_TARGET_AVX2 "avx2,fma,popcnt"
#define CF_TARGET_AVX512 "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl"
#define CF_TARGET_AVX512BF16 \
  "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi"
#define CF_TARGET_AMX \
  "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vbmi,amx-tile,amx-bf16"

#define CF_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define CF_TARGET_BEGIN(features) \
  CF_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define CF_TARGET_END CF_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define CF_TARGET_BEGIN(features) CF_PRAGMA(GCC push_options) CF_PRAGMA(GCC target(features))
#define CF_TARGET_END CF_PRAGMA(GCC pop_options)
#else
#define CF_TARGET_BEGIN(features)
#define CF_TARGET_END
#endif

#endif
