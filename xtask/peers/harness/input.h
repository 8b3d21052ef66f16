/* The pixels that a network takes, as its activations: the same lines for every library in C. */
#ifndef INPUT_H
#define INPUT_H

#include "sizes.h"

#include <stddef.h>
#include <stdint.h>

/* What an activation is, to the library. */
#ifndef ACTIVATION
#define ACTIVATION int8_t
#endif

/* All pixels, or every other one: of two rows, activation `c` is the upper pixel of column `c` if
   `c` is even, else the lower one. */
static inline void input_of(const uint8_t *image, ACTIVATION *input) {
#if CHECKERBOARD
    for (size_t rows = 0; rows + 1 < IMAGE_HEIGHT; rows += 2) {
        for (size_t column = 0; column + 1 < IMAGE_WIDTH; column += 2) {
            input[column] = (ACTIVATION)(image[column] >> INPUT_SHIFT);
            input[column + 1] = (ACTIVATION)(image[IMAGE_WIDTH + column + 1] >> INPUT_SHIFT);
        }
        image += 2 * IMAGE_WIDTH;
        input += IMAGE_WIDTH;
    }
#else
    for (size_t pixel = 0; pixel < IMAGE_PIXELS; pixel++) {
        input[pixel] = (ACTIVATION)(image[pixel] >> INPUT_SHIFT);
    }
#endif
}

#endif
