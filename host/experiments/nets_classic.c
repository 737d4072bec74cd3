/* SPDX-License-Identifier: MIT
 * nets_classic.c -- one path from the image to the classes: LeNet-5, AlexNet, VGG. */
#include "nets.h"

/* LeCun et al. 1998, section II.B. C3's maps read 3 or 4 neighbouring maps of S2 (6 of each), two
 * pairs (3), or all (1): 60 links instead of 96. The output compares with fixed patterns. */
void net_lenet5_1998(net *n, int variant)
{
    (void)variant;
    const net_layer subsample = {.kind = NET_SUBSAMPLE, .kernel = 2, .stride = 2};
    CONV(n, 6, 5);                                      /* C1 */
    net_add(n, subsample);                              /* S2 */
    CONV(n, 16, 5, .links = 6 * 3 + 6 * 4 + 3 * 4 + 6); /* C3 */
    net_add(n, subsample);                              /* S4 */
    CONV(n, 120, 5);                                    /* C5: its maps have one position */
    DENSE(n, 84);                                       /* F6 */
    DENSE(n, 10, .fixed = true, .no_bias = true);
}

/* As it is usually written today: pooling without parameters, every map read, a trained output. */
void net_lenet5_dense(net *n, int variant)
{
    (void)variant;
    CONV(n, 6, 5);
    POOL(n, 2, 2);
    CONV(n, 16, 5);
    POOL(n, 2, 2);
    CONV(n, 120, 5);
    DENSE(n, 84);
    DENSE(n, 10);
}

/* Krizhevsky et al. 2012: two GPUs, so that conv2, 4 and 5 read half of the maps. */
void net_alexnet_2012(net *n, int variant)
{
    (void)variant;
    CONV(n, 96, 11, .stride = 4);
    POOL(n, 3, 2);
    CONV(n, 256, 5, .pad = 2, .groups = 2);
    POOL(n, 3, 2);
    CONV(n, 384, 3, .pad = 1);
    CONV(n, 384, 3, .pad = 1, .groups = 2);
    CONV(n, 256, 3, .pad = 1, .groups = 2);
    POOL(n, 3, 2);
    DENSE(n, 4096);
    DENSE(n, 4096);
    DENSE(n, 1000);
}

/* Krizhevsky 2014, "one weird trick": fewer maps, no groups. */
void net_alexnet_torchvision(net *n, int variant)
{
    (void)variant;
    CONV(n, 64, 11, .stride = 4, .pad = 2);
    POOL(n, 3, 2);
    CONV(n, 192, 5, .pad = 2);
    POOL(n, 3, 2);
    CONV(n, 384, 3, .pad = 1);
    CONV(n, 256, 3, .pad = 1);
    CONV(n, 256, 3, .pad = 1);
    POOL(n, 3, 2);
    DENSE(n, 4096);
    DENSE(n, 4096);
    DENSE(n, 1000);
}

/* Simonyan & Zisserman 2015, configurations D and E. */
static void vgg_convolutions(net *n, int layers)
{
    static const int channels[5] = {64, 128, 256, 512, 512};
    const int deep = layers == 19 ? 4 : 3;
    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < (stage < 2 ? 2 : deep); i++) CONV(n, channels[stage], 3, .pad = 1);
        POOL(n, 2, 2);
    }
}

void net_vgg(net *n, int layers)
{
    vgg_convolutions(n, layers);
    DENSE(n, 4096);
    DENSE(n, 4096);
    DENSE(n, 1000);
}

void net_vgg_convolutional(net *n, int layers)
{
    vgg_convolutions(n, layers);
    CONV(n, 4096, 7);
    CONV(n, 4096, 1);
    CONV(n, 1000, 1);
}
