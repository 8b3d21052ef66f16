/*
 * emlearn's networks: in floating point, which is all that it has for dense layers. The data are
 * laid out, and the network is declared, as its generator does; what runs is its `eml_net.h`.
 * Rounding and the upper clamp of hidden activations are left out, for which it has no function.
 */
#define ACTIVATION float
#include "input.h"
#include "layers.h"
#include "peer.h"

#include <stdbool.h>
#include <stddef.h>

#include <eml_net.h>

#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define LONGEST LARGER(INPUTS, LARGER(HIDDEN1, HIDDEN2))

static float input[INPUTS], activations1[LONGEST], activations2[LONGEST], embedding[DIM];

static const EmlNetLayer layers[] = {
    {HIDDEN1, INPUTS, weights1, biases1, EmlNetActivationRelu},
    {HIDDEN2, HIDDEN1, weights2, biases2, EmlNetActivationRelu},
    {DIM, HIDDEN2, weights3, biases3, EmlNetActivationIdentity},
};
static EmlNet network = {3, layers, activations1, activations2, LONGEST};

void peer_open(void) {}

void peer_embed(const uint8_t *image) {
    input_of(image, input);
    eml_net_regress(&network, input, INPUTS, embedding, DIM);
}

int32_t peer_coordinate(size_t axis) {
    return (int32_t)(embedding[axis] + (embedding[axis] < 0 ? -0.5f : 0.5f));
}
