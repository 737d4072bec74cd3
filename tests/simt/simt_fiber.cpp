/* SPDX-License-Identifier: MIT */
/* Fibers: stacks, and switching between them. */
#include "simt_rt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A switch costs about 25 ns this way and about 350 ns by swapcontext(), which makes a system call.
 * Callee-saved registers go on the old stack and come from the new one; a fresh stack is made to
 * look as if fiber_main had been switched away from at its first instruction. */
#if !defined(SIMT_UCONTEXT)
#if defined(__x86_64__)
asm(".text\n"
    ".globl simt_switch\n"
    ".hidden simt_switch\n"
    ".type simt_switch,@function\n"
    "simt_switch:\n"
    "    push %rbp\n"
    "    push %rbx\n"
    "    push %r12\n"
    "    push %r13\n"
    "    push %r14\n"
    "    push %r15\n"
    "    mov %rsp,(%rdi)\n"
    "    mov %rsi,%rsp\n"
    "    pop %r15\n"
    "    pop %r14\n"
    "    pop %r13\n"
    "    pop %r12\n"
    "    pop %rbx\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size simt_switch,.-simt_switch\n");
#else /* aarch64 */
asm(".text\n"
    ".globl simt_switch\n"
    ".hidden simt_switch\n"
    ".type simt_switch,%function\n"
    "simt_switch:\n"
    "    sub sp, sp, #160\n"
    "    stp x19, x20, [sp, #0]\n"
    "    stp x21, x22, [sp, #16]\n"
    "    stp x23, x24, [sp, #32]\n"
    "    stp x25, x26, [sp, #48]\n"
    "    stp x27, x28, [sp, #64]\n"
    "    stp x29, x30, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n"
    "    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    mov x9, sp\n"
    "    str x9, [x0]\n"
    "    mov sp, x1\n"
    "    ldp x19, x20, [sp, #0]\n"
    "    ldp x21, x22, [sp, #16]\n"
    "    ldp x23, x24, [sp, #32]\n"
    "    ldp x25, x26, [sp, #48]\n"
    "    ldp x27, x28, [sp, #64]\n"
    "    ldp x29, x30, [sp, #80]\n"
    "    ldp d8, d9, [sp, #96]\n"
    "    ldp d10, d11, [sp, #112]\n"
    "    ldp d12, d13, [sp, #128]\n"
    "    ldp d14, d15, [sp, #144]\n"
    "    add sp, sp, #160\n"
    "    ret\n"
    ".size simt_switch,.-simt_switch\n");
#endif
extern "C" void simt_switch(void **save, void *load);
#endif

namespace simt
{

static char *new_stack()
{
    char *p =
        static_cast<char *>(mmap(nullptr, stack_bytes + guard_page_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (p == MAP_FAILED) {
        perror("simt: mmap of a fiber stack");
        abort();
    }
    mprotect(p, guard_page_bytes, PROT_NONE); /* an overflow crashes instead of spreading */
    return p + guard_page_bytes;
}

/* Makes the next switch to the fiber enter fiber_main. */
static void prime(Fiber *f)
{
#if defined(SIMT_UCONTEXT)
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = stack_bytes;
    f->context.uc_link = nullptr;
    makecontext(&f->context, fiber_main, 0);
#else
    /* Stack tops are staggered: aligned ones all fall into the same few cache sets. */
    char *top = f->stack + stack_bytes - (f->color * 192 & 0x3fc0);
#if defined(__x86_64__)
    void **sp = reinterpret_cast<void **>(top);
    *--sp = nullptr; /* the return address of fiber_main; also aligns: rsp % 16 == 8 at entry */
    *--sp = reinterpret_cast<void *>(fiber_main);
    for (int callee_saved = 0; callee_saved < 6; callee_saved++) *--sp = nullptr;
#else
    void **sp = reinterpret_cast<void **>(top - 160);
    memset(sp, 0, 160);
    sp[11] = reinterpret_cast<void *>(fiber_main); /* x30, the address ret jumps to */
#endif
    f->sp = sp;
#endif
}

/* An idle fiber, standing at the entry of fiber_main or in its loop. */
Fiber *fiber_take()
{
    Scheduler &s = *sched;
    if (!s.idle.empty()) {
        Fiber *f = s.idle.back();
        s.idle.pop_back();
        return f;
    }
    Fiber *f = new Fiber;
    f->color = s.fibers_made++;
    f->stack = new_stack();
    f->stack_size = stack_bytes;
    prime(f);
    return f;
}

#if defined(SIMT_TSAN)
/* The detector has room for 8192 contexts. */
static const size_t contexts_max = 4096;

static void *take_context()
{
    Scheduler &s = *sched;
    if (s.spare_contexts.empty()) return __tsan_create_fiber(0);
    void *context = s.spare_contexts.back();
    s.spare_contexts.pop_back();
    return context;
}

static void destroy_all(std::vector<void *> &contexts)
{
    for (void *context : contexts) __tsan_destroy_fiber(context);
    contexts.clear();
}
#endif

/* Race detector only: a context of its own for each thread of the grid. They are ordered after what
 * the host has done so far (here by creation, or by fiber_entered()) and after nothing else. Hence
 * they are all made from the host's context: one made by a running fiber would be ordered after
 * that thread, and races between the two would go unseen.
 *
 * Contexts are used again for the next grid, which comes after this one anyway, but not for the
 * next block; nor are they destroyed in between: the detector gives the number of a destroyed
 * context to a new one after 16 more, and what is ordered after the new one then counts as ordered
 * after the old one too, which hides races between blocks. */
void fibers_prepare(unsigned count)
{
#if defined(SIMT_TSAN)
    Scheduler &s = *sched;
    if (!s.host.tsan) s.host.tsan = __tsan_get_current_fiber();
    free(s.tags); /* the detector forgets what it knows about freed memory */
    s.tags = static_cast<char *>(malloc(2 * (FIRST_WARP_TAG + s.warps.size())));
    if (!s.tags) abort();
    if (s.used_contexts.size() + count > contexts_max) destroy_all(s.used_contexts);
    std::vector<Fiber *> fresh;
    for (unsigned i = 0; i < count; i++) {
        Fiber *f = fiber_take();
        {
            /* Mapping the stack anew makes the detector forget who wrote to it before. */
            Quiet quiet;
            mmap(f->stack, stack_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
            prime(f);
        }
        f->tsan = take_context();
        s.used_contexts.push_back(f->tsan);
        fresh.push_back(f);
    }
    s.idle.insert(s.idle.end(), fresh.begin(), fresh.end());
    tsan_release(&s.started);
#else
    (void)count;
#endif
}

/* At the end of the grid, from the host's context. */
void fibers_finish()
{
#if defined(SIMT_TSAN)
    Scheduler &s = *sched;
    tsan_acquire(&s.finished); /* not sooner: blocks of one grid are not ordered */
    s.spare_contexts.insert(s.spare_contexts.end(), s.used_contexts.begin(), s.used_contexts.end());
    s.used_contexts.clear();
#endif
}

#if defined(SIMT_ASAN)
/* Completes a switch on its far side. The bounds of the host's stack become known at the first
 * switch away from it. */
static void asan_arrived(void *fake_stack)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
    if (!sched->host.stack) {
        sched->host.stack = static_cast<char *>(const_cast<void *>(bottom));
        sched->host.stack_size = size;
    }
}
#endif

/* To be called first thing on a fresh fiber. */
void fiber_entered()
{
#if defined(SIMT_ASAN)
    asan_arrived(nullptr);
#endif
    tsan_acquire(&sched->started);
}

void fiber_switch(Fiber *to)
{
    Scheduler &s = *sched;
    Fiber *from = s.current;
    if (to == from) return;
    s.current = to;
    s.switches++;
#if defined(SIMT_ASAN)
    void *fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, to->stack, to->stack_size);
#endif
#if defined(SIMT_TSAN)
    const unsigned no_sync = 1; /* a switch orders nothing: only barriers do */
    __tsan_switch_to_fiber(to->tsan, no_sync);
#endif
#if defined(SIMT_UCONTEXT)
    swapcontext(&from->context, &to->context);
#else
    simt_switch(&from->sp, to->sp);
#endif
#if defined(SIMT_ASAN)
    asan_arrived(fake_stack);
#endif
}

} // namespace simt
