/* SPDX-License-Identifier: MIT */
/* Stream capture and graphs: work of a capturing stream is taken down as a function and a copy of
 * its arguments, and a launch of the graph runs it in that order. What the real runtime forbids
 * during a capture is refused here with its error and invalidates the capture, so that misuse shows
 * without a GPU. One stream captures into one graph: no forks by events, no child graphs, no memory
 * nodes. */
#include "simt_control.h"
#include "simt_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct node {
    simt_work run;
    void *bytes;
    size_t size;
};

/* The opaque types of the API; a graph and an executable one differ in nothing here. */
struct CUgraph_st {
    struct CUgraph_st *next;
    struct node *nodes;
    size_t count, slots;
    int executable;
};

struct capture {
    struct capture *next;
    cudaStream_t stream;
    enum cudaStreamCaptureMode mode;
    pthread_t thread;
    int invalidated;
    struct CUgraph_st *graph;
};

static struct CUgraph_st *graphs;
static struct capture *captures;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of both lists */

/* ---- graphs ---- */

static struct CUgraph_st *new_graph(int executable)
{
    struct CUgraph_st *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->executable = executable;
    g->next = graphs;
    graphs = g;
    return g;
}

static int add_node(struct CUgraph_st *g, simt_work run, const void *bytes, size_t size)
{
    if (g->count == g->slots) {
        const size_t slots = g->slots ? 2 * g->slots : 16;
        struct node *grown = realloc(g->nodes, slots * sizeof *grown);
        if (!grown) return 0;
        g->nodes = grown;
        g->slots = slots;
    }
    void *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    memcpy(copy, bytes, size);
    g->nodes[g->count++] = (struct node){run, copy, size};
    return 1;
}

static struct CUgraph_st *find_graph(const void *wanted, int executable)
{
    struct CUgraph_st *g = graphs;
    while (g && g != wanted) g = g->next;
    return g && g->executable == executable ? g : NULL;
}

static void free_graph(struct CUgraph_st *g)
{
    struct CUgraph_st **at = &graphs;
    while (*at != g) at = &(*at)->next;
    *at = g->next;
    for (size_t i = 0; i < g->count; i++) free(g->nodes[i].bytes);
    free(g->nodes);
    free(g);
}

static cudaError_t destroy(const void *wanted, int executable)
{
    pthread_mutex_lock(&lock);
    struct CUgraph_st *g = find_graph(wanted, executable);
    if (g) free_graph(g);
    pthread_mutex_unlock(&lock);
    return g ? cudaSuccess : cudaErrorInvalidValue;
}

static struct CUgraph_st *copy_of(const struct CUgraph_st *g)
{
    struct CUgraph_st *exec = new_graph(1);
    for (size_t i = 0; exec && i < g->count; i++)
        if (!add_node(exec, g->nodes[i].run, g->nodes[i].bytes, g->nodes[i].size)) {
            free_graph(exec);
            exec = NULL;
        }
    return exec;
}

size_t simt_live_graphs(void)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (const struct CUgraph_st *g = graphs; g; g = g->next) n++;
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- captures ---- */

static struct capture *capture_of(cudaStream_t stream)
{
    struct capture *c = captures;
    while (c && c->stream != stream) c = c->next;
    return c;
}

/* Its graph stays; NULL is fine. */
static void end(struct capture *c)
{
    struct capture **at = &captures;
    while (*at && *at != c) at = &(*at)->next;
    if (*at) *at = c->next;
    free(c);
}

void simt_capture_forget(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    struct capture *c = capture_of(stream);
    if (c) free_graph(c->graph);
    end(c);
    pthread_mutex_unlock(&lock);
}

void simt_graphs_reset(void)
{
    pthread_mutex_lock(&lock);
    while (captures) end(captures);
    while (graphs) free_graph(graphs);
    pthread_mutex_unlock(&lock);
}

int simt_capture(cudaStream_t stream, simt_work run, const void *bytes, size_t size,
                 cudaError_t *err)
{
    pthread_mutex_lock(&lock);
    struct capture *c = capture_of(stream);
    if (c) {
        *err = cudaSuccess;
        if (c->invalidated)
            *err = cudaErrorStreamCaptureInvalidated;
        else if (!run)
            *err = cudaErrorStreamCaptureUnsupported;
        else if (!add_node(c->graph, run, bytes, size))
            *err = cudaErrorMemoryAllocation;
        if (*err != cudaSuccess) c->invalidated = 1;
    }
    pthread_mutex_unlock(&lock);
    return c != NULL;
}

int simt_is_capturing(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    const int capturing = capture_of(stream) != NULL;
    pthread_mutex_unlock(&lock);
    return capturing;
}

/* Whether a call conflicts with a capture, which it then ends. */
typedef int conflict(const struct capture *c, const void *what);

static int invalidate(conflict *conflicts, const void *what)
{
    int any = 0;
    pthread_mutex_lock(&lock);
    for (struct capture *c = captures; c; c = c->next)
        if (conflicts(c, what)) c->invalidated = any = 1;
    pthread_mutex_unlock(&lock);
    return any;
}

/* cudaMalloc() and the like are no work of a stream: a replay would not repeat them. */
static int forbids_unsafe(const struct capture *c, const void *what)
{
    (void)what;
    return c->mode == cudaStreamCaptureModeGlobal || (c->mode == cudaStreamCaptureModeThreadLocal &&
                                                      pthread_equal(c->thread, pthread_self()));
}

static int is_on(const struct capture *c, const void *stream)
{
    return c->stream == stream;
}

static int is_any(const struct capture *c, const void *what)
{
    (void)c, (void)what;
    return 1;
}

static int joins_legacy(const struct capture *c, const void *what)
{
    (void)what;
    return simt_stream_is_blocking(c->stream);
}

cudaError_t simt_unsafe(void)
{
    return invalidate(forbids_unsafe, NULL) ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t simt_wait_for_stream(cudaStream_t stream)
{
    if (!stream || stream == cudaStreamLegacy)
        return invalidate(joins_legacy, NULL) ? cudaErrorStreamCaptureImplicit : cudaSuccess;
    return invalidate(is_on, stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t simt_wait_for_device(void)
{
    return invalidate(is_any, NULL) ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t simt_use_legacy_stream(void)
{
    const cudaError_t err = simt_unsafe();
    return err != cudaSuccess ? err : simt_wait_for_stream(NULL);
}

/* ---- API ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    SIMT_ENTER();
    if (!simt_stream_is_valid(stream)) return simt_record(cudaErrorInvalidResourceHandle);
    if (!stream || stream == cudaStreamLegacy)
        return simt_record(cudaErrorStreamCaptureUnsupported);
    if ((unsigned)mode > cudaStreamCaptureModeRelaxed) return simt_record(cudaErrorInvalidValue);
    if (simt_is_capturing(stream)) return simt_record(cudaErrorIllegalState);
    struct capture *c = calloc(1, sizeof *c);
    pthread_mutex_lock(&lock);
    struct CUgraph_st *graph = c ? new_graph(0) : NULL;
    if (graph) {
        *c = (struct capture){captures, stream, mode, pthread_self(), 0, graph};
        captures = c;
    }
    pthread_mutex_unlock(&lock);
    if (graph) return cudaSuccess;
    free(c);
    return simt_record(cudaErrorMemoryAllocation);
}

static cudaError_t end_capture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct capture *c = capture_of(stream);
    if (!c) return cudaErrorIllegalState;
    if (c->mode != cudaStreamCaptureModeRelaxed && !pthread_equal(c->thread, pthread_self()))
        return cudaErrorStreamCaptureWrongThread;
    const int invalidated = c->invalidated;
    if (invalidated)
        free_graph(c->graph);
    else
        *graph = c->graph;
    end(c);
    return invalidated ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    SIMT_ENTER();
    if (!graph) return simt_record(cudaErrorInvalidValue);
    *graph = NULL;
    pthread_mutex_lock(&lock);
    const cudaError_t err = end_capture(stream, graph);
    pthread_mutex_unlock(&lock);
    return simt_record(err);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    SIMT_ENTER();
    pthread_mutex_lock(&lock);
    const struct capture *c = capture_of(stream);
    *status = !c               ? cudaStreamCaptureStatusNone
              : c->invalidated ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    SIMT_ENTER();
    if (!exec || flags) return simt_record(cudaErrorInvalidValue);
    *exec = NULL;
    pthread_mutex_lock(&lock);
    const struct CUgraph_st *g = find_graph(graph, 0);
    struct CUgraph_st *copy = g ? copy_of(g) : NULL;
    pthread_mutex_unlock(&lock);
    if (!copy) return simt_record(g ? cudaErrorMemoryAllocation : cudaErrorInvalidValue);
    *exec = (cudaGraphExec_t)copy;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    SIMT_ENTER();
    if (!simt_stream_is_valid(stream)) return simt_record(cudaErrorInvalidResourceHandle);
    cudaError_t err;
    if (simt_capture(stream, NULL, NULL, 0, &err)) return simt_record(err); /* a child graph */
    pthread_mutex_lock(&lock);
    const struct CUgraph_st *g = find_graph(exec, 1);
    pthread_mutex_unlock(&lock);
    if (!g) return simt_record(cudaErrorInvalidValue);
    for (size_t i = 0; i < g->count; i++) {
        err = g->nodes[i].run(g->nodes[i].bytes);
        if (err != cudaSuccess) return simt_record(err);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    SIMT_ENTER();
    return simt_record(destroy(exec, 1));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    SIMT_ENTER();
    return simt_record(destroy(graph, 0));
}

/* Only their number: a node has no handle here. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    SIMT_ENTER();
    if (!count || nodes) return simt_record(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    const struct CUgraph_st *g = find_graph(graph, 0);
    if (g) *count = g->count;
    pthread_mutex_unlock(&lock);
    return g ? cudaSuccess : simt_record(cudaErrorInvalidValue);
}
