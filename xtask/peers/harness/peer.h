/* What a program asks of the library that it measures: a file each has both functions. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

/* What is done once, at the start of a device. */
void peer_open(void);

/* From the grey values of an image, row-major, 0 = background, to the coordinates of its
   embedding: what is counted. */
void peer_embed(const uint8_t *image);

/* A coordinate of that embedding, as a whole number: in the library's own steps. */
int32_t peer_coordinate(size_t axis);

#endif
