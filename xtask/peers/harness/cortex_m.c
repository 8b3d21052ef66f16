/* Start-up of a Cortex-M, its clock, which is SysTick, and semihosting. */
#include "board.h"

/* SysTick's registers, and its 24 bits. */
#define SYST_CSR (*(volatile uint32_t *)0xe000e010)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018)
#define TURN 0xffffffu
/* Counts by the core's clock, and interrupts nobody. */
#define ENABLE_CORE_CLOCK 5u

extern uint32_t stack_top[];
void start(void);
void fault(void);

void clock_start(void) {
    SYST_RVR = TURN;
    SYST_CVR = 0;
    SYST_CSR = ENABLE_CORE_CLOCK;
}

uint32_t clock_now(void) { return SYST_CVR; }

/* It counts down. */
uint32_t clock_between(uint32_t from, uint32_t to) { return (from - to) & TURN; }

uint32_t semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Where the processor starts. */
void reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* Code that uses the floating-point or the vector unit: full access to coprocessors 10, 11. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    start();
}

/* The vectors: the top of the stack, reset, and all the processor's own faults. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {
    stack_top,
    {reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault},
};
