/* The C core's public header: cfloat_api.h made fit for C compilers. */
#ifndef CFLOAT_H
#define CFLOAT_H

#include <stddef.h>
#include <stdint.h>

#include "cfloat_api.h"

#endif
