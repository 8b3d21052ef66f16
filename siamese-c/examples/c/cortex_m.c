/*
 * Start-up of a Cortex-M, and its console: semihosting, which an emulator or a debugger answers.
 * In a firmware of your own, all of this is your vendor's.
 */
#include "board.h"

#include <stdint.h>

/* From link.ld. */
extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

int main(void);

/* What the stack is filled with, to see how deep it gets. */
#define PAINT 0x57ac57acu
/* What start-up itself has on the stack, in words. */
#define MARGIN 16

/* The operations of semihosting. */
#define SYS_WRITE0 0x04
#define SYS_EXIT_EXTENDED 0x20
/* The reason "the application ends". */
#define APPLICATION_EXIT 0x20026

static void semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text) { semihosting(SYS_WRITE0, text); }

void print_number(const char *text, size_t number) {
    char digits[12];
    char *start = digits + sizeof digits - 1;
    *start = '\0';
    do {
        *--start = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    print(text);
    print(start);
    print("\n");
}

void board_exit(int code) {
    uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

size_t board_stack_used(void) {
    const uint32_t *deepest = bss_end;
    while (deepest < stack_top && *deepest == PAINT) {
        deepest++;
    }
    return (size_t)(stack_top - deepest) * sizeof *deepest;
}

/* Where the processor starts. */
void reset(void) {
    const uint32_t *from = data_load;
    volatile uint32_t *to;
#if defined(__ARM_FP)
    /* Code for eabihf may use the floating-point unit: full access to coprocessors 10 and 11. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    for (to = bss_end; to < (uint32_t *)__builtin_frame_address(0) - MARGIN; to++) {
        *to = PAINT;
    }
    board_exit(main());
}

/* Where it goes if something is badly wrong. */
static void fault(void) {
    print("the processor has met a fault\n");
    board_exit(2);
}

/* The vectors: the top of the stack, reset, and all the processor's own faults. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {
    stack_top,
    {reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault},
};
