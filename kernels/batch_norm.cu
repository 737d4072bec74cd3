/* SPDX-License-Identifier: MIT
 * batch_norm.cu -- the versions of batch normalization, and which one a call gets.
 *
 *   1 readable   a block per channel, any size; what the others are compared with
 *   2 split      each channel over as many blocks as fill the device (a channel of a CNN's first
 *                layers has 10^5 values, but there are only 64), partial statistics merged in a
 *                fixed order, then one elementwise pass. x is read twice: 3 elements per position,
 *                backward 5
 *   3 resident   a channel, or a tile of neighbouring ones, in the shared memory of one block: one
 *                launch, x read once: 2 elements per position, backward 3 */
#include "batch_norm_backward.cuh"

/* ---- forward ----------------------------------------------------------------------------------
 */

template <class Call> static bool anything_fits(const Call &)
{
    return true;
}

template <class Call> static bool countable(const Call &call)
{
    return bn_countable(call.s);
}

static bool resident_fits(const bn_shape &s, const dlf_tensor *x, bool vectors, int floats)
{
    bool fits = false;
    if (!bn_countable(s)) return false;
    (void)bn_with_access(x, vectors, s.columns, [&](auto t, auto v, auto) {
        fits = bn_resident<decltype(t)>(s, x, decltype(v)::value, floats).width > 0;
        return DLF_OK;
    });
    return fits;
}

static bool forward_resident_fits(const bn_fwd_call &call)
{
    return resident_fits(call.s, call.io->x, bn_fwd_vectors(call), 1);
}

static const dlf_version<bn_fwd_call> forward_versions[] = {
    {"readable", "nothing", "one block per channel, three reads", anything_fits<bn_fwd_call>,
     bn_fwd_run_readable},
    {"split", "less than 2^31 elements per member", "fills the device whatever C is",
     countable<bn_fwd_call>, bn_fwd_run_split},
    {"resident", "a channel's values within 36 KiB of floats", "one launch, one read",
     forward_resident_fits, bn_fwd_run_resident},
};

static int choose_forward(const bn_fwd_call &call)
{
    return forward_resident_fits(call) ? 3 : bn_countable(call.s) ? 2 : 1;
}

extern "C" dlf_status dlf_batch_norm_forward_cuda(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    const bn_fwd_call call = {io, norm, bn_shape_of(io->x, norm)};
    return dlf_run_version(forward_versions, call, norm->version, choose_forward,
                           "batch_norm_forward");
}

/* ---- evaluation mode --------------------------------------------------------------------------
 */

static const dlf_version<bn_fwd_call> infer_versions[] = {
    {"readable", "nothing", "the formula per element", anything_fits<bn_fwd_call>,
     bn_infer_run_readable},
    {"units", "less than 2^31 elements per member", "16-byte accesses, no division per element",
     countable<bn_fwd_call>, bn_infer_run_units},
};

static int choose_infer(const bn_fwd_call &call)
{
    return bn_countable(call.s) ? 2 : 1;
}

extern "C" dlf_status dlf_batch_norm_infer_cuda(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    const bn_fwd_call call = {io, norm, bn_shape_of(io->x, norm)};
    return dlf_run_version(infer_versions, call, norm->version, choose_infer, "batch_norm_infer");
}

/* ---- backward ---------------------------------------------------------------------------------
 */

static bool backward_resident_fits(const bn_bwd_call &call)
{
    return resident_fits(call.s, call.io->x, bn_bwd_vectors(call), 2);
}

static const dlf_version<bn_bwd_call> backward_versions[] = {
    {"readable", "nothing", "one block per channel, x and dy read twice",
     anything_fits<bn_bwd_call>, bn_bwd_run_readable},
    {"split", "less than 2^31 elements per member", "fills the device whatever C is",
     countable<bn_bwd_call>, bn_bwd_run_split},
    {"resident", "a channel's values within 18 KiB of floats", "one launch, one read",
     backward_resident_fits, bn_bwd_run_resident},
};

static int choose_backward(const bn_bwd_call &call)
{
    return backward_resident_fits(call) ? 3 : bn_countable(call.s) ? 2 : 1;
}

extern "C" dlf_status dlf_batch_norm_backward_cuda(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    const bn_bwd_call call = {io, norm, bn_shape_of(io->x, norm)};
    return dlf_run_version(backward_versions, call, norm->version, choose_backward,
                           "batch_norm_backward");
}
