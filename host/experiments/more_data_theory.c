/* SPDX-License-Identifier: MIT
 * more_data_theory.c -- closed form of Q2. */
#include <math.h>

#include "more_data.h"

double dlf_hebb_error(double alpha)
{
    return atan(sqrt(M_PI / (2.0 * alpha))) / M_PI;
}
