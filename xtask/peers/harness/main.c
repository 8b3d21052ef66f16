/*
 * Has a library embed all images of the file `images`, and says for each, a line each, how many
 * ticks it took and what the coordinates are; in the end how deep the stack has been, in bytes.
 */
#include "board.h"
#include "sizes.h"
#include "peer.h"

/* The operations of semihosting. */
#define SYS_OPEN 0x01
#define SYS_WRITE0 0x04
#define SYS_READ 0x06
#define SYS_EXIT_EXTENDED 0x20
/* The reason "the application ends". */
#define APPLICATION_EXIT 0x20026
/* Opens a file to read bytes. */
#define READ_BINARY 1
/* What the stack is filled with, to see how deep it gets. */
#define PAINT 0x57ac57acu
/* What `reset` and `paint` themselves have on the stack, in words. */
#define MARGIN 32

/* From link.ld. */
extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

static uint8_t image[IMAGE_PIXELS];

static void end(int code) {
    uintptr_t block[2] = {APPLICATION_EXIT, (uintptr_t)code};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

static void print(const char *text) { semihosting(SYS_WRITE0, text); }

static void print_number(const char *before, int32_t number) {
    char digits[12];
    char *start = digits + sizeof digits - 1;
    uint32_t left = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    *start = '\0';
    do {
        *--start = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        *--start = '-';
    }
    print(before);
    print(start);
}

/* Fills the stack below its caller. */
static void __attribute__((noinline)) paint(void) {
    volatile uint32_t *word = bss_end;
    const uint32_t *here = (const uint32_t *)__builtin_frame_address(0) - MARGIN;
    while (word < here) {
        *word++ = PAINT;
    }
}

static int32_t stack_used(void) {
    const uint32_t *deepest = bss_end;
    while (deepest < stack_top && *deepest == PAINT) {
        deepest++;
    }
    return (int32_t)((stack_top - deepest) * (int32_t)sizeof *deepest);
}

static void embed_all(uintptr_t file) {
    uintptr_t read[3] = {file, (uintptr_t)image, sizeof image};
    /* The operation says how many bytes it has not read. */
    while (semihosting(SYS_READ, read) == 0) {
        uint32_t start = clock_now();
        peer_embed(image);
        uint32_t ticks = clock_between(start, clock_now());
        print_number("image ", (int32_t)ticks);
        for (size_t axis = 0; axis < DIM; axis++) {
            print_number(" ", peer_coordinate(axis));
        }
        print("\n");
    }
}

static void run(void) {
    static const char name[] = "images";
    uintptr_t open[3] = {(uintptr_t)name, READ_BINARY, sizeof name - 1};
    uintptr_t file = semihosting(SYS_OPEN, open);
    if (file == UINT32_MAX) {
        print("there is no file `images`\n");
        end(1);
    }
    paint();
    clock_start();
    peer_open();
    embed_all(file);
    print_number("stack ", stack_used());
    print("\n");
    end(0);
}

/* Where a core goes that has its stack, after a reset. */
void start(void) {
    const uint32_t *from = data_load;
    volatile uint32_t *to;
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    run();
}

/* Where it goes if something is badly wrong. */
void fault(void) {
    print("the processor has met a fault\n");
    end(2);
}
