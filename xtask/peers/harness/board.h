/* What the harness needs of a core: a clock that counts instructions, and the emulator's console
   and files, by semihosting. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* Starts the clock. */
void clock_start(void);

/* Ticks from one reading of the clock to a later one. */
uint32_t clock_now(void);
uint32_t clock_between(uint32_t start, uint32_t end);

/* An operation of semihosting, which the emulator answers. */
uint32_t semihosting(uint32_t operation, const void *argument);

#endif
