/* SPDX-License-Identifier: MIT
 * cases.c -- which ops on which shapes: the axes and the suites of `dlf bench`. */
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"
#include "experiments/nearest.h"

/* ---- ops ------------------------------------------------------------------------------------ */

/* The kinds of shapes that a suite lists. */
typedef enum shapes {
    ROWS,
    BATCH_ROWS,
    CLASSES,
    IMAGES,
    SIZES,
    SQUARES,
    CONVS,
    POINTWISE,
    SHAPES
} shapes;

#define STORED "f32,f16,bf16"

/* A family of kernels is added here, and in subject.c. */
static const struct op {
    const char *family, *op, *directions;
    unsigned shapes; /* 1 << shapes */
    const char *dtypes;
} ops[] = {
    {"layer_norm", "layer_norm", "forward,backward", 1u << ROWS, STORED},
    {"layer_norm", "rms_norm", "forward,backward", 1u << ROWS, STORED},
    {"batch_norm", "batch_norm", "forward,backward,infer", 1u << BATCH_ROWS | 1u << IMAGES, STORED},
    {"group_norm", "group_norm", "forward,backward", 1u << IMAGES, STORED},
    {"group_norm", "instance_norm", "forward,backward", 1u << IMAGES, STORED},
    {"activation", "relu", "forward,backward", 1u << SIZES, STORED},
    {"activation", "sigmoid", "forward,backward", 1u << SIZES, STORED},
    {"activation", "tanh", "forward,backward", 1u << SIZES, STORED},
    {"activation", "gelu", "forward,backward", 1u << SIZES, STORED},
    {"activation", "silu", "forward,backward", 1u << SIZES, STORED},
    {"softmax_xent", "softmax_xent", "forward,backward", 1u << CLASSES, "f32"},
    {"conv", "conv", "forward,data,weight", 1u << CONVS, "f32"},
    {"conv1x1", "conv1x1", "forward,data,weight", 1u << POINTWISE, "f32,tf32,f16,bf16"},
    /* the same with weights packed beforehand */
    {"conv1x1", "conv1x1_packed", "forward", 1u << POINTWISE, "f32,tf32,f16,bf16"},
    /* y = relu(conv + bias), and the mean and variance of every channel of that y */
    {"conv1x1", "conv1x1_relu", "forward", 1u << POINTWISE, "f32,tf32,f16,bf16"},
    {"conv1x1", "conv1x1_stats", "forward", 1u << POINTWISE, "f32,tf32,f16,bf16"},
    {"ceiling", "copy", "move", 1u << SIZES, "f32"}, /* 1 read : 1 write  */
    {"ceiling", "add", "move", 1u << SIZES, "f32"},  /* 2 reads : 1 write */
    {"ceiling", "read", "move", 1u << SIZES, "f32"},
    {"ceiling", "write", "move", 1u << SIZES, "f32"},
    /* a product of square matrices of as many elements; the same on tensor cores */
    {"ceiling", "fma", "move", 1u << SQUARES, "f32"},
    {"ceiling", "tensor", "move", 1u << SQUARES, "tf32,f16,bf16"},
};
enum { OPS = sizeof ops / sizeof *ops };

/* ---- suites --------------------------------------------------------------------------------- */

enum { MOST_SHAPES = 16, MOST_NUMBERS = 8, SUITES = 6 };

const dlf_bench_suite dlf_bench_suites[SUITES + 1] = {
    {"small", {"几种小形状，一分钟内测完", "a few small shapes, done within a minute"}},
    {"cpu",
     {"ResNet 与 Transformer 的形状，按 CPU 的规模",
      "shapes of ResNet and transformers, at the size of a CPU"}},
    {"gpu",
     {"cudnn-frontend 的 H200 表中的形状，以及很长的行",
      "the rows of cudnn-frontend's H200 table, and long rows"}},
    {"resnet50", {"ResNet-50 的各级特征图，批量 32", "the feature maps of ResNet-50, batch 32"}},
    {"transformer", {"4096 个记号，宽度 768 到 16384", "4096 tokens, width 768 to 16384"}},
    {"diffusion", {"扩散模型 U-Net 的 GroupNorm 形状", "GroupNorm shapes of a diffusion U-Net"}},
    {NULL, {NULL, NULL}}};

/* As many as the kind has axes. CONVS: N, C, height = width of x, channels of y, height = width of
 * the kernel, stride, padding, groups. POINTWISE: N, C, height = width of x, channels of y, stride.
 */
typedef struct shape {
    int64_t n[MOST_NUMBERS];
} shape;

/* The 1x1 convolutions of ResNet-50 (He et al. 2015; v1.5: the stride of a block is in its 3x3
 * convolution), one row per distinct shape. */
#define RESNET50_1X1(N)                                                                            \
    {                                                                                              \
        {{N, 64, 56, 64, 1}}, {{N, 64, 56, 256, 1}}, {{N, 256, 56, 64, 1}},                        \
            {{N, 256, 56, 128, 1}}, {{N, 256, 56, 512, 2}}, {{N, 128, 28, 512, 1}},                \
            {{N, 512, 28, 128, 1}}, {{N, 512, 28, 256, 1}}, {{N, 512, 28, 1024, 2}},               \
            {{N, 256, 14, 1024, 1}}, {{N, 1024, 14, 256, 1}}, {{N, 1024, 14, 512, 1}},             \
            {{N, 1024, 14, 2048, 2}}, {{N, 512, 7, 2048, 1}}, {{N, 2048, 7, 512, 1}},              \
    }
/* Its other convolutions; the first, and a depthwise one of MobileNet-v2. */
#define RESNET50_REST(N)                                                                           \
    {{N, 3, 224, 64, 7, 2, 3, 1}}, {{N, 64, 56, 64, 3, 1, 1, 1}}, {{N, 128, 56, 128, 3, 2, 1, 1}}, \
        {{N, 128, 28, 128, 3, 1, 1, 1}}, {{N, 256, 14, 256, 3, 1, 1, 1}},                          \
        {{N, 512, 7, 512, 3, 1, 1, 1}},                                                            \
    {                                                                                              \
        {                                                                                          \
            N, 144, 56, 144, 3, 1, 1, 144                                                          \
        }                                                                                          \
    }

static const shape shapes_of[SUITES][SHAPES][MOST_SHAPES + 1] = {
    /* small */
    {[ROWS] = {{{512, 1024}}, {{4096, 128}}, {{64, 64}}},
     [BATCH_ROWS] = {{{512, 256}}},
     [CLASSES] = {{{1024, 10}}, {{512, 1000}}},
     [IMAGES] = {{{8, 64, 28, 28}}, {{8, 512, 7, 7}}},
     [SIZES] = {{{1 << 14}}, {{1 << 20}}},
     [SQUARES] = {{{1 << 14}}, {{1 << 20}}},
     [CONVS] = {{{4, 8, 12, 16, 3, 1, 1, 1}}, {{4, 16, 12, 16, 3, 2, 1, 16}}},
     [POINTWISE] = {{{4, 32, 12, 64, 1}}, {{4, 64, 12, 48, 2}}, {{8, 64, 28, 128, 1}}}},
    /* cpu */
    {[ROWS] =
         {{{8192, 768}}, {{2048, 4096}}, {{512, 1024}}, {{4096, 128}}, {{128, 16384}}, {{64, 64}}},
     [BATCH_ROWS] = {{{8192, 512}}, {{64, 128}}},
     [CLASSES] = {{{8192, 10}}, {{2048, 1000}}, {{256, 32000}}},
     [IMAGES] = {{{8, 64, 112, 112}},
                 {{8, 64, 56, 56}},
                 {{8, 256, 56, 56}},
                 {{8, 512, 28, 28}},
                 {{8, 1024, 14, 14}},
                 {{8, 2048, 7, 7}}},
     [SIZES] = {{{1 << 14}}, {{1 << 20}}, {{1 << 24}}, {{1 << 26}}},
     [SQUARES] = {{{1 << 14}}, {{1 << 20}}},
     /* LeNet on 28x28, small networks on 28x28 and 8x8, ResNet-20 on 32x32, ResNet-50, depthwise */
     [CONVS] = {{{64, 1, 28, 6, 5, 1, 2, 1}},
                {{64, 6, 14, 16, 5, 1, 0, 1}},
                {{64, 1, 28, 16, 3, 1, 1, 1}},
                {{64, 16, 14, 32, 3, 1, 1, 1}},
                {{64, 8, 8, 16, 3, 1, 1, 1}},
                {{64, 16, 32, 16, 3, 1, 1, 1}},
                {{64, 16, 32, 32, 3, 2, 1, 1}},
                {{64, 32, 16, 32, 3, 1, 1, 1}},
                {{64, 64, 8, 64, 3, 1, 1, 1}},
                {{8, 64, 56, 64, 3, 1, 1, 1}},
                {{8, 256, 14, 256, 3, 1, 1, 1}},
                {{8, 3, 224, 64, 7, 2, 3, 1}},
                {{8, 96, 28, 96, 3, 1, 1, 96}}},
     [POINTWISE] = RESNET50_1X1(8)},
    /* gpu */
    {[ROWS] = {{{16384, 4096}},
               {{8192, 8192}},
               {{4096, 16384}},
               {{8192, 5120}},
               {{2048, 4096}},
               {{131072, 128}},
               {{8192, 128}},
               {{1024, 12288}},
               {{2048, 32768}},
               {{512, 131072}}},
     [BATCH_ROWS] = {{{65536, 1024}}},
     [CLASSES] = {{{65536, 10}}, {{8192, 1000}}, {{4096, 32000}}, {{2048, 128256}}},
     [IMAGES] = {{{128, 64, 112, 112}},
                 {{128, 256, 56, 56}},
                 {{128, 512, 28, 28}},
                 {{128, 1024, 14, 14}},
                 {{128, 2048, 7, 7}},
                 {{16, 320, 64, 64}},
                 {{4, 512, 128, 128}}},
     [SIZES] = {{{1 << 20}}, {{1 << 24}}, {{1 << 28}}},
     [SQUARES] = {{{1 << 20}}, {{1 << 24}}, {{1 << 26}}},
     [CONVS] = {RESNET50_REST(128)},
     [POINTWISE] = RESNET50_1X1(256)},
    /* resnet50 */
    {[BATCH_ROWS] = {{{32, 2048}}},
     [CLASSES] = {{{32, 1000}}},
     [IMAGES] = {{{32, 64, 112, 112}},
                 {{32, 64, 56, 56}},
                 {{32, 256, 56, 56}},
                 {{32, 128, 28, 28}},
                 {{32, 512, 28, 28}},
                 {{32, 256, 14, 14}},
                 {{32, 1024, 14, 14}},
                 {{32, 512, 7, 7}},
                 {{32, 2048, 7, 7}}},
     [SIZES] = {{{32 * 64 * 112 * 112}}, {{32 * 256 * 56 * 56}}, {{32 * 2048 * 7 * 7}}},
     [SQUARES] = {{{1 << 20}}},
     [CONVS] = {RESNET50_REST(32)},
     [POINTWISE] = RESNET50_1X1(32)},
    /* transformer */
    {[ROWS] = {{{4096, 768}},
               {{4096, 1024}},
               {{4096, 2048}},
               {{4096, 4096}},
               {{4096, 8192}},
               {{4096, 16384}}},
     [CLASSES] = {{{4096, 32000}}, {{1024, 128256}}},
     [SIZES] = {{{4096 * 3072}}, {{4096 * 16384}}},
     [SQUARES] = {{{1 << 20}}}},
    /* diffusion */
    {[IMAGES] = {{{2, 320, 64, 64}},
                 {{2, 640, 32, 32}},
                 {{2, 1280, 16, 16}},
                 {{16, 320, 64, 64}},
                 {{4, 512, 128, 128}}},
     [SIZES] = {{{2 * 320 * 64 * 64}}},
     [SQUARES] = {{{1 << 20}}}},
};

/* ---- names ---------------------------------------------------------------------------------- */

static bool is_image(const dlf_bench_case *c)
{
    return c->ndim == 4;
}

static const char *layout_name(dlf_layout l)
{
    return l == DLF_NHWC ? "nhwc" : "nchw";
}

/* Appends to text, of which `at` bytes are used; what does not fit is cut. */
static int append(char *text, int at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text + at, (size_t)(DLF_BENCH_NAME - at), format, args);
    va_end(args);
    return at + n < DLF_BENCH_NAME ? at + n : DLF_BENCH_NAME - 1;
}

char *dlf_bench_case_name(char text[DLF_BENCH_NAME], const dlf_bench_case *c)
{
    int at = append(text, 0, "%s %s %s ", c->op, c->direction,
                    c->tf32 ? "tf32" : dlf_dtype_name(c->dtype));
    if (is_image(c)) at = append(text, at, "%s ", layout_name(c->layout));
    for (int i = 0; i < c->ndim; i++)
        at = append(text, at, "%s%lld", i ? "x" : "", (long long)c->shape[i]);
    if (c->outputs) at = append(text, at, "->%lld", (long long)c->outputs);
    if (c->kernel > 1)
        at = append(text, at, " %lldx%lld", (long long)c->kernel, (long long)c->kernel);
    if (c->stride > 1) at = append(text, at, "/%lld", (long long)c->stride);
    if (c->pad) at = append(text, at, " pad %lld", (long long)c->pad);
    if (c->outputs && c->groups > 1) at = append(text, at, " groups %lld", (long long)c->groups);
    if (c->version) append(text, at, " v%d", c->version);
    return text;
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* Is `word` one of "a,b,c"? list NULL: yes. */
static bool listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; at && *at;) {
        const size_t m = strcspn(at, ",");
        if (m == n && !strncmp(at, word, n)) return true;
        at += m + (at[m] == ',');
    }
    return !list;
}

/* Every word of "a,b,c" is one of `known`. */
static dlf_status all_known(const char *flag, const char *list, const char *const *known)
{
    for (const char *at = list; at && *at;) {
        const size_t m = strcspn(at, ",");
        char word[48], hint[256];
        snprintf(word, sizeof word, "%.*s", (int)m, at);
        bool found = false;
        for (int i = 0; known[i]; i++) found |= !strcmp(known[i], word);
        if (!found)
            return dlf_fail(DLF_ERR_NOT_FOUND, "--%s: there is no '%s'%s", flag, word,
                            dlf_nearest(hint, sizeof hint, word, known));
        at += m + (at[m] == ',');
    }
    return DLF_OK;
}

static bool is_norm(const struct op *o)
{
    return strstr(o->family, "_norm") != NULL;
}

static bool word_takes(const char *word, const struct op *o)
{
    return !strcmp(word, "all") || !strcmp(word, o->family) || !strcmp(word, o->op) ||
           (!strcmp(word, "norm") && is_norm(o));
}

static dlf_status words_known(const char *const *what)
{
    const char *known[2 * OPS + 3] = {"all", "norm"};
    int n = 2;
    for (int i = 0; i < OPS; i++) {
        if (!i || strcmp(ops[i].family, ops[i - 1].family)) known[n++] = ops[i].family;
        if (strcmp(ops[i].family, ops[i].op)) known[n++] = ops[i].op;
    }
    known[n] = NULL;
    for (; what && *what; what++) {
        char hint[256];
        bool found = false;
        for (int i = 0; i < OPS; i++) found |= word_takes(*what, &ops[i]);
        if (!found)
            return dlf_fail(DLF_ERR_NOT_FOUND, "dlf bench: there is no family or op '%.40s'%s",
                            *what, dlf_nearest(hint, sizeof hint, *what, known));
    }
    return DLF_OK;
}

static bool taken(const char *const *what, const struct op *o)
{
    if (!what || !*what) return true;
    for (; *what; what++)
        if (word_takes(*what, o)) return true;
    return false;
}

static dlf_status suite_index(int *out, const char *name)
{
    const char *names[SUITES + 1] = {NULL};
    char hint[256];
    for (int i = 0; i < SUITES; i++) {
        names[i] = dlf_bench_suites[i].name;
        if (!strcmp(names[i], name)) {
            *out = i;
            return DLF_OK;
        }
    }
    return dlf_fail(DLF_ERR_NOT_FOUND, "--suite: there is no '%.40s'%s", name,
                    dlf_nearest(hint, sizeof hint, name, names));
}

typedef struct list {
    const dlf_bench_choice *choice;
    regex_t *filter;
    dlf_bench_case *cases;
    int n, capacity;
    bool failed;
} list;

static void push(list *l, const dlf_bench_case *c)
{
    char name[DLF_BENCH_NAME];
    if (l->filter && regexec(l->filter, dlf_bench_case_name(name, c), 0, NULL, 0) != 0) return;
    if (l->n == l->capacity) {
        const int capacity = l->capacity ? 2 * l->capacity : 64;
        dlf_bench_case *grown = realloc(l->cases, (size_t)capacity * sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->cases = grown;
        l->capacity = capacity;
    }
    l->cases[l->n++] = *c;
}

static void push_versions(list *l, dlf_bench_case c)
{
    for (c.version = 0; c.version <= l->choice->versions; c.version++) push(l, &c);
}

/* The axes of a shape into the case. */
static void take_shape(dlf_bench_case *c, shapes kind, const shape *s)
{
    static const int axes[SHAPES] = {[ROWS] = 2,  [BATCH_ROWS] = 2, [CLASSES] = 2, [IMAGES] = 4,
                                     [SIZES] = 1, [SQUARES] = 1,    [CONVS] = 4,   [POINTWISE] = 4};
    const int64_t *n = s->n;
    const bool convolves = kind == CONVS || kind == POINTWISE;
    c->ndim = axes[kind];
    memcpy(c->shape, n, sizeof c->shape);
    if (!convolves) return;
    c->shape[3] = n[2];
    c->outputs = n[3];
    c->kernel = kind == CONVS ? n[4] : 1;
    c->stride = n[kind == CONVS ? 5 : 4];
    c->pad = kind == CONVS ? n[6] : 0;
    c->groups = kind == CONVS ? n[7] : 1;
}

typedef struct storage {
    const char *name;
    dlf_dtype dtype;
    bool tf32;
} storage;
static const storage storages[] = {{"f32", DLF_F32, false},
                                   {"tf32", DLF_F32, true},
                                   {"f16", DLF_F16, false},
                                   {"bf16", DLF_BF16, false}};
enum { STORAGES = sizeof storages / sizeof *storages };

static void push_shapes(list *l, const struct op *o, const shape table[SHAPES][MOST_SHAPES + 1],
                        const char *direction, const storage *t)
{
    dlf_bench_case c = {.dtype = t->dtype, .tf32 = t->tf32, .groups = 32};
    snprintf(c.family, sizeof c.family, "%s", o->family);
    snprintf(c.op, sizeof c.op, "%s", o->op);
    snprintf(c.direction, sizeof c.direction, "%s", direction);
    for (int kind = 0; kind < SHAPES; kind++) {
        if (!(o->shapes >> kind & 1u)) continue;
        for (const shape *s = table[kind]; s->n[0]; s++) {
            take_shape(&c, (shapes)kind, s);
            for (int layout = 0; layout < (is_image(&c) ? 2 : 1); layout++) {
                c.layout = layout ? DLF_NHWC : DLF_NCHW;
                if (is_image(&c) && !listed(l->choice->layouts, layout_name(c.layout))) continue;
                push_versions(l, c);
            }
        }
    }
}

/* The ceilings first: they say what the machine can do today. */
static const char *const directions[] = {"move", "forward", "backward", "infer",
                                         "data", "weight",  NULL};

static void push_all(list *l, int suite)
{
    for (int t = 0; t < STORAGES; t++) {
        if (!listed(l->choice->dtypes ? l->choice->dtypes : "f32", storages[t].name)) continue;
        for (int d = 0; directions[d]; d++) {
            if (!listed(l->choice->directions, directions[d])) continue;
            for (int i = 0; i < OPS; i++)
                if (taken(l->choice->what, &ops[i]) && listed(ops[i].directions, directions[d]) &&
                    listed(ops[i].dtypes, storages[t].name))
                    push_shapes(l, &ops[i], shapes_of[suite], directions[d], &storages[t]);
        }
    }
}

dlf_status dlf_bench_cases(dlf_bench_case **out, int *n, const dlf_bench_choice *choice)
{
    static const char *const dtype_names[] = {"f32", "tf32", "f16", "bf16", NULL};
    static const char *const layout_names[] = {"nchw", "nhwc", NULL};
    int suite = 0;
    *out = NULL;
    *n = 0;
    DLF_TRY(words_known(choice->what));
    DLF_TRY(suite_index(&suite, choice->suite ? choice->suite : "small"));
    DLF_TRY(all_known("dtype", choice->dtypes, dtype_names));
    DLF_TRY(all_known("direction", choice->directions, directions));
    DLF_TRY(all_known("layout", choice->layouts, layout_names));
    regex_t filter;
    if (choice->filter) {
        const int error = regcomp(&filter, choice->filter, REG_EXTENDED | REG_NOSUB);
        char text[128];
        if (error) {
            regerror(error, &filter, text, sizeof text);
            return dlf_fail(DLF_ERR_ARG, "--filter '%.60s' is no regular expression: %s",
                            choice->filter, text);
        }
    }
    list l = {.choice = choice, .filter = choice->filter ? &filter : NULL};
    push_all(&l, suite);
    if (l.filter) regfree(l.filter);
    if (l.failed || !l.n) {
        free(l.cases);
        return l.failed ? dlf_fail(DLF_ERR_OOM, "no memory for the list of cases")
                        : dlf_fail(DLF_ERR_NOT_FOUND,
                                   "dlf bench: nothing in suite '%s' matches; dlf bench --list "
                                   "shows what there is",
                                   dlf_bench_suites[suite].name);
    }
    *out = l.cases;
    *n = l.n;
    return DLF_OK;
}
