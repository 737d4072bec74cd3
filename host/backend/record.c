/* SPDX-License-Identifier: MIT
 * record.c -- recording and replaying, on the devices that can. */
#include "backend/record.h"

#include <stdlib.h>

#include "backend/measure.h"

struct dlf_recording {
    dlf_device *device;
    void *impl; /* the backend's */
};

dlf_status dlf_not_recording(const dlf_device *dev, const char *what)
{
    if (!dev->recording) return DLF_OK;
    return dlf_fail(DLF_ERR_DEVICE, "%s cannot be recorded; end the recording on %s first", what,
                    dev->info.backend);
}

bool dlf_device_records(const dlf_device *dev)
{
    return dev->backend->record_begin != NULL;
}

dlf_status dlf_record_begin(dlf_device *dev)
{
    if (!dlf_device_records(dev))
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s does not record; run the ops themselves",
                        dev->info.backend);
    DLF_TRY(dlf_not_recording(dev, "another recording"));
    DLF_TRY(dev->backend->record_begin(dev));
    dev->recording = true;
    return DLF_OK;
}

dlf_status dlf_record_end(dlf_device *dev, dlf_recording **out)
{
    *out = NULL;
    if (!dlf_device_records(dev))
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s does not record", dev->info.backend);
    if (!dev->recording)
        return dlf_fail(DLF_ERR_DEVICE, "%s: a recording ends that has not begun",
                        dev->info.backend);
    dev->recording = false;
    dlf_recording *recording = calloc(1, sizeof *recording);
    void *impl = NULL;
    /* Even with no memory for the handle the recording has to end. */
    const dlf_status status = dev->backend->record_end(dev, recording ? &impl : NULL);
    if (!recording) return dlf_fail(DLF_ERR_OOM, "no host memory for a recording");
    if (status != DLF_OK) {
        free(recording);
        return status;
    }
    *recording = (dlf_recording){dev, impl};
    *out = recording;
    return DLF_OK;
}

dlf_status dlf_replay(dlf_recording *recording)
{
    DLF_TRY(dlf_not_recording(recording->device, "a replay"));
    return recording->device->backend->replay(recording->device, recording->impl);
}

void dlf_recording_free(dlf_recording *recording)
{
    if (!recording) return;
    recording->device->backend->recording_free(recording->device, recording->impl);
    free(recording);
}

int dlf_recording_launches(const dlf_recording *recording)
{
    return recording ? dlf_cuda_recording_launches(recording->impl) : 0;
}
