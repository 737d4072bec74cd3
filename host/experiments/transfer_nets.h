/* SPDX-License-Identifier: MIT
 * transfer_nets.h -- the network of transfer_digits. */
#ifndef DLF_TRANSFER_NETS_H
#define DLF_TRANSFER_NETS_H
#include "classifier.h"

/* inputs - width (relu) - classes. */
classifier_spec dlf_transfer_net(int members, int batch, int inputs, int width, int classes);
#endif
