/* Start-up of a RISC-V core, its clock, which counts cycles, and semihosting. */
#include "board.h"

/* Sets the stack and the global pointer, and has traps end. */
__attribute__((naked, section(".vectors"))) void reset(void) {
    __asm__ volatile(".option push\n"
                     ".option norelax\n"
                     "la gp, __global_pointer$\n"
                     ".option pop\n"
                     "la sp, stack_top\n"
                     "la t0, trap\n"
                     "csrw mtvec, t0\n"
                     "csrw mcountinhibit, zero\n"
                     "j start\n"
                     ".align 2\n"
                     "trap: j fault\n");
}

void clock_start(void) {}

uint32_t clock_now(void) {
    uint32_t cycles;
    __asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
    return cycles;
}

uint32_t clock_between(uint32_t from, uint32_t to) { return to - from; }

uint32_t semihosting(uint32_t operation, const void *argument) {
    register uint32_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    /* These three instructions, none of them compressed and all on one page, are the call. */
    __asm__ volatile(".option push\n"
                     ".option norvc\n"
                     ".balign 16\n"
                     "slli zero, zero, 0x1f\n"
                     "ebreak\n"
                     "srai zero, zero, 7\n"
                     ".option pop\n"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}
