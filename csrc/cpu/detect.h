/* What the CPU and the operating system can run. */
#ifndef CF_CPU_DETECT_H
#define CF_CPU_DETECT_H

/* Whether instructions of each ISA can be executed: the CPU has them, and the operating system
 * saves their registers. */
int cf_cpu_has_portable(void);
int cf_cpu_has_neon(void);
int cf_cpu_has_avx2(void);
int cf_cpu_has_avx512(void);
int cf_cpu_has_avx512bf16(void);     /* and VBMI, which every CPU but one generation has with it */
int cf_cpu_is_slow_avx512bf16(void); /* Intel's multiply float32 faster, and bfloat16 by AMX */
/* Intel's: to fetch results that are written next takes less time than to write them past the
 * caches, as a core has more lines on their way to its caches than from it past them. */
int cf_cpu_is_slow_streaming(void);
int cf_cpu_has_amx(void); /* the first call asks the operating system for leave */
#endif
