/* Fetch a line of the cache before it is wanted; an address that is not there does no harm. */
#ifndef CF_CPU_PREFETCH_H
#define CF_CPU_PREFETCH_H

#if defined(_MSC_VER) && !defined(__clang__)
#define CF_PREFETCH(address) ((void)(address))
#define CF_PREFETCH_TO_WRITE(address) ((void)(address))
#else
#define CF_PREFETCH(address) __builtin_prefetch(address)
#define CF_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 2)
#endif

enum { CF_CACHE_LINE = 64 };

#endif
