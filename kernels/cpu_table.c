/* SPDX-License-Identifier: MIT
 * cpu_table.c -- the op table of one SIMD level. */
#include "cpu.h"

#define DLF_TABLE_PASTE_(level) dlf_ops_cpu_##level
#define DLF_TABLE_PASTE(level)  DLF_TABLE_PASTE_(level)

extern const dlf_ops DLF_TABLE_PASTE(DLF_CPU_LEVEL);
const dlf_ops DLF_TABLE_PASTE(DLF_CPU_LEVEL) = {
#define KERNEL(family, op, args) .op = DLF_CPU(op),
#include "dlf/kernels.def"
#undef KERNEL
};
