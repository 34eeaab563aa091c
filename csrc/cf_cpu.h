/* What the CPU and the operating system can run. */
#ifndef CF_CPU_H
#define CF_CPU_H

/* Whether instructions of each ISA can be executed: the CPU has them, and the operating system saves
 * their registers. */
int cf_cpu_has_portable(void);
int cf_cpu_has_neon(void);
int cf_cpu_has_avx2(void);
int cf_cpu_has_avx512(void);


#endif
