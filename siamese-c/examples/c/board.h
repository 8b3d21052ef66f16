/* What the example needs of a board: a console, an end, and a look at the stack. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>

/* Writes text to the emulator's console. */
void print(const char *text);

/* Writes text, a number and the end of the line. */
void print_number(const char *text, size_t number);

/* Ends the program; 0 is success. */
void board_exit(int code);

/* The deepest that the stack has been, in bytes. */
size_t board_stack_used(void);

#endif
