/* What C11 lacks and compilers spell differently. */
#ifndef CF_CPU_COMPILER_H
#define CF_CPU_COMPILER_H

#include "cpu/target.h"

enum { CF_CACHE_LINE = 64 };

/* A vector of memory is read once, and not by each instruction that uses it. */
#if defined(CF_X86_64) && !defined(CF_MSVC)
#define CF_READ_ONCE(vector) __asm__("" : "+v"(vector))
#else
#define CF_READ_ONCE(vector) ((void)0)
#endif

/* CF_PREFETCH fetches a line of the cache ahead of its use; an address that is not there does no
 * harm. */
#if defined(CF_MSVC)
#define CF_PREFETCH(address) ((void)(address))
#define CF_PREFETCH_TO_WRITE(address) ((void)(address))
#define CF_ALIGNED(n) __declspec(align(n))
#define CF_NOINLINE __declspec(noinline)
#define CF_UNLIKELY(condition) (condition)
#define CF_ALWAYS_INLINE __forceinline
#else
#define CF_PREFETCH(address) __builtin_prefetch(address)
#define CF_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 2)
#define CF_ALIGNED(n) _Alignas(n)
#define CF_NOINLINE __attribute__((noinline))
#define CF_UNLIKELY(condition) __builtin_expect((condition) != 0, 0)
/* what has constants among its arguments, and many callers; not under sanitizers, which compile so
 * much for many minutes */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CF_ALWAYS_INLINE inline
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CF_ALWAYS_INLINE inline
#endif
#if !defined(CF_ALWAYS_INLINE)
#define CF_ALWAYS_INLINE inline __attribute__((always_inline))
#endif
#endif

#endif
