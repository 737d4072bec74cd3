/* SPDX-License-Identifier: MIT
 * evolution_nets.h -- the networks that evolve. */
#ifndef DLF_EVOLUTION_NETS_H
#define DLF_EVOLUTION_NETS_H
#include "classifier.h"

/* 64 - width (tanh) - 10; shared: one batch for all members. */
classifier_spec dlf_evolution_net(int members, int batch, int width, bool shared);
#endif
