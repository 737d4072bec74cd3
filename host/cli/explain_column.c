/* SPDX-License-Identifier: MIT
 * explain_column.c -- `dlf explain column`: what the columns of `dlf bench` and `dlf compare` say.
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "experiments/nearest.h"

static const struct column {
    const char *name;
    dlf_text text;
} columns[] = {
    {"cold",
     {"一次调用的中位时间，调用前把操作数逐出缓存（CPU：CLFLUSH；GPU：改写一块大于 L2 的内存）",
      "median time of one call whose operands were evicted before (CPU: CLFLUSH; GPU: a block "
      "larger "
      "than the L2 is overwritten)"}},
    {"hot",
     {"连续调用约 0.2 ms 时每次的中位时间，操作数留在上一次调用放下的地方",
      "median time per call, back to back for about 0.2 ms, operands where the last call left "
      "them"}},
    {"+-95%",
     {"冷缓存时间 95% 区间的一半，占其百分比：各遍（每遍用新的内存）之间的差别与遍内的噪声都算在内",
      "half the 95 % interval of the cold time, in per cent of it: it knows how passes, each in "
      "fresh "
      "memory, differ, as well as the noise within them"}},
    {"now / before",
     {"--baseline：本程序的时间 ÷ 另一个 dlf 的时间，两个进程在同样的轮次里计时，附 95% 区间",
      "--baseline: time of this dlf / time of the other one, two processes timed in the same "
      "rounds, "
      "with a 95 % interval"}},
    {"launches",
     {"一次调用的内核、填充与拷贝数（GPU，由 CUDA 图数出），或并行区域数（CPU）；在 CSV 与 JSON 中",
      "kernels, fills and copies of a call (GPU, counted in its CUDA graph), or parallel regions "
      "(CPU); "
      "in CSV and JSON"}},
    {"host_ns",
     {"一次热调用至少占用主机多久：GPU 上是排队的时间，CPU 上是全部；在 CSV 与 JSON 中",
      "the least that a hot call kept the host: queueing it on a GPU, all of it on a CPU; in CSV "
      "and "
      "JSON"}},
    {"of_spec",
     {"GB/s ÷ 显存的标称带宽（2 × 显存时钟 × 位宽）；只在 CSV 中，仅 GPU",
      "GB/s / what the memory's clock and bus width allow (2 x clock x width); in CSV, GPU only"}},
    {"GB/s",
     {"理想字节数 ÷ 冷缓存中位时间；理想：每个操作数只搬一次，不管内核实际搬多少",
      "ideal bytes / cold median; ideal: every operand once, whatever the kernel moves"}},
    {"of copy",
     {"同一轮中拷贝同样多字节的时间 ÷ 内核时间，取各轮中位数；读得多的内核与两读一写相比",
      "time of copying as many bytes in the same round / time of the kernel, median over rounds; a "
      "kernel that mostly reads is compared with two reads and a write"}},
    {"of roof",
     {"运行开始时测得的上限（大小最接近、读写比例最接近的 copy、add、read 或 "
      "write；卷积还有矩阵乘）"
      "所允许的时间 ÷ 冷缓存中位时间，后面是起限制作用的一方：bytes 或 "
      "flops；不是同一轮测的，没有区间。"
      "CSV 中为 of_roof 与 bound",
      "time that the ceilings measured at the beginning of the run allow (of copy, add, read and "
      "write the one nearest in size and mix; for convolutions also a matrix product) / cold "
      "median, and which of the two limits: bytes or flops. Not of the same rounds, so without an "
      "interval. In CSV of_roof and bound"}},
    {"over peer",
     {"最快对手的热缓存时间 ÷ dlf 的时间，逐轮配对，附自助法 95% 区间；大于 1 为更快",
      "hot time of the fastest peer / ours, paired by rounds, with a 95 % bootstrap interval; "
      "above 1 "
      "is faster"}},
    {"error",
     {"与双精度定义相比：max |got − want| / (|want| + rms want)，取所有输出中最大的",
      "against the definition in double: max |got - want| / (|want| + rms want) over all outputs"}},
    {"n",
     {"轮数；每轮里每个参与者每种方式计时一次，次序随机",
      "rounds; in each everybody is timed once in every mode, in random order"}},
    {"WRONG",
     {"误差超过存储类型的容限：时间没有意义，退出码 5",
      "the error is beyond the tolerance of the storage type: the times mean nothing, exit "
      "code 5"}},
    {"SUSPECT",
     {"比拷贝同样多的字节还快，且超出区间：不可能来自内存，多半是字节数算错或命中缓存",
      "faster than copying the same bytes, beyond the intervals: it cannot have come from memory; "
      "bytes counted wrong, or a cache"}},
    {"peer-WRONG",
     {"有对手的结果未通过核对，因此没有给它计时",
      "a peer's result failed the gate, so that it was not timed"}},
    {"noisy", {"中位数的半区间大于 5%", "half the interval of the median is above 5 %"}},
    {"throttled",
     {"NVML 报告了空闲与应用时钟以外的降频原因",
      "NVML reported a clock limit other than idle or application clocks"}},
    {"not-deterministic",
     {"计时前后两次输出的比特不同",
      "the outputs before and after the timing differ in their bits"}},
    {"time B/A",
     {"两次运行中位时间之比，附自助法 95% 区间",
      "ratio of the median times of two runs, with a 95 % bootstrap interval"}},
    {"anchored B/A",
     {"同上，但每个样本先除以同一轮的锚（拷贝或矩阵乘中更同步的那个）：机器变慢时锚也变慢",
      "the same with every sample divided by the anchor of its round (of copy and gemm the one "
      "that "
      "follows more closely): a slower machine slows the anchor, too"}},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

dlf_status cli_explain_column(const char *name, const cli_language *language)
{
    const char *names[COLUMNS + 1] = {NULL};
    bool found = false;
    for (int i = 0; i < COLUMNS; i++) {
        names[i] = columns[i].name;
        if (name && strcmp(name, columns[i].name) != 0) continue;
        printf("%s: %s\n", columns[i].name, cli_say(language, columns[i].text));
        found = true;
    }
    char hint[256];
    return found ? DLF_OK
                 : dlf_fail(DLF_ERR_NOT_FOUND, "dlf explain column: there is no column '%.40s'%s",
                            name, dlf_nearest(hint, sizeof hint, name, names));
}
