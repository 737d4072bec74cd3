/* SPDX-License-Identifier: MIT
 * record.h -- what must not happen between dlf_record_begin and dlf_record_end. */
#ifndef DLF_RECORD_H
#define DLF_RECORD_H
#include "dlf/backend.h"

/* DLF_ERR_DEVICE while the device records: "an upload cannot be recorded". */
dlf_status dlf_not_recording(const dlf_device *dev, const char *what);
#endif
