/*
 * CMSIS-NN's dense layers: by its kernel for int8 weights and a rounding for each row; with `S4`
 * the first layer by that for int4 weights, which has one rounding for all rows.
 */
#include "input.h"
#include "layers.h"
#include "peer.h"

#include <arm_nnfunctions.h>

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

/* Activations: of the input and then of the second layer, and of the first. */
static int8_t shared[LARGER(INPUTS, HIDDEN2)];
static int8_t hidden1[HIDDEN1];
static int8_t embedding[DIM];

#if defined(ARM_MATH_MVEI)
/* Sums of each row's weights and its bias, which the kernels with vectors take. */
static int32_t sums2[HIDDEN2], sums3[DIM];
#if !defined(S4)
static int32_t sums1[HIDDEN1];
#endif
#define SUMS(layer) sums##layer
#else
#define SUMS(layer) 0
#endif

static const cmsis_nn_dims sizes[4] = {
    {1, 1, 1, INPUTS}, {1, 1, 1, HIDDEN1}, {1, 1, 1, HIDDEN2}, {1, 1, 1, DIM}};

/* A dense layer, all of whose zero points are 0. `is_hidden` is a ReLU. */
static inline void dense(int number, const int8_t *weights, const int32_t *biases,
                         const int32_t *multipliers, const int32_t *shifts, int32_t *sums,
                         int largest, int is_hidden, const int8_t *from, int8_t *to) {
    const cmsis_nn_context context = {sums, 0};
    const cmsis_nn_fc_params parameters = {0, 0, 0, {is_hidden ? 0 : -128, largest}};
    const cmsis_nn_per_channel_quant_params rounding = {(int32_t *)multipliers, (int32_t *)shifts};
    const cmsis_nn_dims filter = {sizes[number - 1].c, 1, 1, sizes[number].c};
    arm_fully_connected_per_channel_s8(&context, &parameters, &rounding, &sizes[number - 1], from,
                                       &filter, weights, &sizes[number], biases, &sizes[number],
                                       to);
}

#if defined(S4)
/* The first layer, with two weights a byte. */
static inline void dense_s4(const int8_t *from, int8_t *to) {
    const cmsis_nn_context context = {0, 0};
    const cmsis_nn_fc_params parameters = {0, 0, 0, {0, LARGEST1}};
    const cmsis_nn_per_tensor_quant_params rounding = {multipliers1[0], shifts1[0]};
    const cmsis_nn_dims filter = {INPUTS, 1, 1, HIDDEN1};
    arm_fully_connected_s4(&context, &parameters, &rounding, &sizes[0], from, &filter,
                           nibbles1, &sizes[1], biases1, &sizes[1], to);
}
#endif

void peer_open(void) {
#if defined(ARM_MATH_MVEI)
#if !defined(S4)
    arm_vector_sum_s8(sums1, INPUTS, HIDDEN1, weights1, 0, 0, biases1);
#endif
    arm_vector_sum_s8(sums2, HIDDEN1, HIDDEN2, weights2, 0, 0, biases2);
    arm_vector_sum_s8(sums3, HIDDEN2, DIM, weights3, 0, 0, biases3);
#endif
}

void peer_embed(const uint8_t *image) {
    input_of(image, shared);
#if defined(S4)
    dense_s4(shared, hidden1);
#else
    dense(1, weights1, biases1, multipliers1, shifts1, SUMS(1), LARGEST1, 1, shared, hidden1);
#endif
    dense(2, weights2, biases2, multipliers2, shifts2, SUMS(2), LARGEST2, 1, hidden1, shared);
    dense(3, weights3, biases3, multipliers3, shifts3, SUMS(3), 127, 0, shared, embedding);
}

int32_t peer_coordinate(size_t axis) { return embedding[axis]; }
