/*
 * Siamese for C (C99 and later) and C++: a small grey image becomes a point of integers, so that
 * images of the same are near each other; a gallery enrols, identifies and verifies such points.
 *
 * No memory is allocated and nothing is hidden: all that a function reads or writes is in what it
 * is given. So functions may run at the same time, in threads or interrupts, as long as none of
 * them writes what another one uses. Nothing uses floating-point numbers.
 *
 *     #include "siamese_model.h"   // the model's sizes, and its bytes in flash
 *     #include "siamese.h"
 *
 *     static siamese_model model;
 *     static siamese_gallery gallery;
 *     static uint8_t scratch[SIAMESE_MODEL_SCRATCH];
 *
 *     siamese_model_init(&model, siamese_model_bytes, sizeof siamese_model_bytes);
 *     siamese_gallery_init(&gallery, &model);
 *
 *     int16_t point[SIAMESE_DIM];
 *     siamese_embed(&model, image, sizeof image, scratch, sizeof scratch, point, SIAMESE_DIM);
 *     siamese_enrol(&gallery, 7, point);
 *
 * Every function but siamese_error_text returns SIAMESE_OK or the number of an error. It checks
 * its arguments as far as it can, before it writes anything: null pointers, alignments, lengths,
 * memory that overlaps, memory that was not initialised. What it can't check is the caller's:
 *
 *   - memory is where a pointer says, of the type and of the length that are stated;
 *   - a siamese_model or siamese_gallery is all zero, as static memory is, or was initialised,
 *     and is changed by these functions alone. It may be copied;
 *   - nothing else writes what a function uses while it runs.
 *
 * An array parameter, such as `const int16_t embedding[SIAMESE_DIM]`, has so many elements.
 */
#ifndef SIAMESE_H
#define SIAMESE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------- */

/* SIAMESE_OK, or one of the errors below. 32 bits, whatever the compiler takes for enums. */
typedef int32_t siamese_error;

/* The errors. A number keeps its meaning in all versions; new ones may be added. */
enum {
    SIAMESE_OK = 0,

    /* What was given to a function. */
    SIAMESE_ERROR_NULL = 1,            /* a pointer is null */
    SIAMESE_ERROR_MISALIGNED = 2,      /* a pointer has not the alignment of its type */
    SIAMESE_ERROR_LENGTH = 3,          /* a length is larger than memory can be */
    SIAMESE_ERROR_OVERLAP = 4,         /* memory to write to overlaps with other memory */
    SIAMESE_ERROR_NOT_INITIALISED = 5, /* no siamese_model_init or siamese_gallery_init before */
    SIAMESE_ERROR_CHOICE = 6,          /* a number stands for none of the choices */
    SIAMESE_ERROR_OTHER = 7,           /* this version has no number for it */

    /* Why bytes are no usable model. */
    SIAMESE_ERROR_MODEL_MAGIC = 20,          /* no .siam file: the first bytes differ */
    SIAMESE_ERROR_MODEL_VERSION = 21,        /* another version of the format */
    SIAMESE_ERROR_MODEL_UNKNOWN_LAYOUT = 22, /* an unknown order of the weights */
    SIAMESE_ERROR_MODEL_TRUNCATED = 23,      /* cut off */
    SIAMESE_ERROR_MODEL_TRAILING_BYTES = 24, /* the length is too large */
    SIAMESE_ERROR_MODEL_CHECKSUM = 25,       /* damaged: the CRC-32 is wrong */
    SIAMESE_ERROR_MODEL_HEADER = 26,         /* an impossible value in the header */
    SIAMESE_ERROR_MODEL_SIZES = 27,          /* impossible sizes of the layers */
    SIAMESE_ERROR_MODEL_PADDING = 28,        /* a padding byte is not zero */
    SIAMESE_ERROR_MODEL_WEIGHT = 29,         /* the forbidden weight -128 */
    SIAMESE_ERROR_MODEL_REQUANTISE = 30,     /* a multiplier or shift out of range */
    SIAMESE_ERROR_MODEL_OVERFLOW = 31,       /* an accumulator could overflow */
    SIAMESE_ERROR_MODEL_PACKING = 32,        /* weights too large for packed sums */
    SIAMESE_ERROR_MODEL_LAYOUT = 33,         /* weights ordered for another core */
    SIAMESE_ERROR_MODEL_MISALIGNED = 34,     /* the bytes don't begin at a multiple of 16 */
    SIAMESE_ERROR_MODEL_FINGERPRINT = 35,    /* the fingerprint is wrong */
    SIAMESE_ERROR_MODEL_UNPRIVILEGED = 36,   /* only privileged code can initialise this one */
    SIAMESE_ERROR_MODEL_WEIGHT_BITS = 37,    /* few bits, and a library built without them */

    /* Sizes that don't suit the model. */
    SIAMESE_ERROR_IMAGE = 50,     /* the image has not the model's number of pixels */
    SIAMESE_ERROR_DIMENSION = 51, /* the model's embedding has other coordinates */
    SIAMESE_ERROR_SCRATCH = 52,   /* the scratch memory is too small */

    /* Galleries. */
    SIAMESE_ERROR_FULL = 60,          /* every entry is taken: forget a label first */
    SIAMESE_ERROR_EXAMPLES = 61,      /* the prototype has 65,535 examples */
    SIAMESE_ERROR_NOT_ENROLLED = 62,  /* nothing was enrolled under the label */
    SIAMESE_ERROR_OTHER_GALLERY = 63, /* a gallery of another model */
    SIAMESE_ERROR_EMPTY = 64,         /* nothing is enrolled */
    SIAMESE_ERROR_ENTRY = 65,         /* no entry of this number */

    /* Why bytes are no stored gallery for this model. */
    SIAMESE_ERROR_ROOM = 70,                  /* the buffer is too small to save to */
    SIAMESE_ERROR_STORED_MAGIC = 71,          /* nothing was saved there */
    SIAMESE_ERROR_STORED_VERSION = 72,        /* another version of the form */
    SIAMESE_ERROR_STORED_TRUNCATED = 73,      /* cut off */
    SIAMESE_ERROR_STORED_TRAILING_BYTES = 74, /* bytes follow its end */
    SIAMESE_ERROR_STORED_CHECKSUM = 75,       /* damaged: the CRC-32 is wrong */
    SIAMESE_ERROR_STORED_CONTENTS = 76,       /* an impossible value */
    SIAMESE_ERROR_STORED_DIMENSION = 77,      /* embeddings of other coordinates */
    SIAMESE_ERROR_STORED_OTHER_MODEL = 78,    /* another model's: enrol anew */
    SIAMESE_ERROR_STORED_CAPACITY = 79,       /* more entries than there is room for */

    /* Why a picture gives no image. */
    SIAMESE_ERROR_PICTURE_BLANK = 90,    /* nothing stands out from the ground */
    SIAMESE_ERROR_PICTURE_EMPTY = 91,    /* a side is zero */
    SIAMESE_ERROR_PICTURE_PIXELS = 92,   /* not as many pixels as the sides ask for */
    SIAMESE_ERROR_PICTURE_TOO_LARGE = 93 /* more pixels than there is room for */
};

/* What a number means, in English: a string that is never null and never changes, for any number.
 * About 3 KiB of flash, if it is called. */
const char *siamese_error_text(siamese_error error);

/* ---- The model ---------------------------------------------------------------------------- */

/* Bytes of a siamese_model; its alignment is that of uint64_t. */
#if UINTPTR_MAX == 0xFFFFFFFF
#define SIAMESE_MODEL_BYTES 312
#else
#define SIAMESE_MODEL_BYTES 424
#endif

/* The bytes of a model file begin at a multiple of this. */
#define SIAMESE_MODEL_ALIGNMENT 16

/* A model that was checked. Its weights stay where they are, usually in flash. */
typedef struct siamese_model {
    uint64_t opaque[SIAMESE_MODEL_BYTES / 8];
} siamese_model;

/* What a model needs and gives. */
typedef struct siamese_model_info {
    uint32_t width;       /* columns of the image, in pixels */
    uint32_t height;      /* rows of the image, in pixels */
    uint32_t dim;         /* coordinates of an embedding: 1 to 64 */
    uint32_t scratch;     /* bytes of scratch memory that an embedding needs */
    uint32_t fingerprint; /* models of the same fingerprint give the same embeddings */
    float scale;          /* real units in one step of a coordinate; for showing only */
} siamese_model_info;

/*
 * Checks a model file, every byte of it, and makes a model of it: 2.2 million instructions for
 * `small` on a Cortex-M0, once. `bytes` are the `length` bytes of a .siam file for this core, at a
 * multiple of SIAMESE_MODEL_ALIGNMENT; they must stay there, as they are, for as long as the model
 * is used. A Cortex-M33, M55 or M85 must be privileged to run this, and have its vector unit
 * enabled if the model is ordered for it.
 *
 * Errors: SIAMESE_ERROR_MODEL_...; `*model` is not initialised then.
 */
siamese_error siamese_model_init(siamese_model *model, const uint8_t *bytes, size_t length);

/* Writes to `*info` what the model needs and gives. */
siamese_error siamese_model_get_info(const siamese_model *model, siamese_model_info *info);

/*
 * Embeds an image: writes its point, `dim` coordinates in steps, to `embedding`.
 *
 * `pixels` are width * height grey values, row after row, 0 for background. `scratch` is memory of
 * at least as many bytes as the model's info says; what is in it doesn't matter before, and means
 * nothing afterwards. The same image gives the same integers on every device and host.
 *
 * Errors: SIAMESE_ERROR_IMAGE, _SCRATCH and _DIMENSION if `pixel_count`, `scratch_length` or `dim`
 * don't suit the model.
 */
siamese_error siamese_embed(const siamese_model *model, const uint8_t *pixels, size_t pixel_count,
                            uint8_t *scratch, size_t scratch_length, int16_t *embedding,
                            size_t dim);

/* ---- Pictures ----------------------------------------------------------------------------- */

/* What is ink, and what is ground. 32 bits, whatever the compiler takes for enums. */
typedef int32_t siamese_ink;

/* The choices. */
enum {
    SIAMESE_INK_AUTO = 0,   /* as the picture's border tells */
    SIAMESE_INK_BRIGHT = 1, /* brighter than the ground */
    SIAMESE_INK_DARK = 2    /* darker than the ground, as on paper */
};

/* What was found in a picture. */
typedef struct siamese_fitted {
    siamese_ink ink; /* SIAMESE_INK_BRIGHT or SIAMESE_INK_DARK */
    uint16_t left;   /* the smallest rectangle that holds all ink: its first column, */
    uint16_t top;    /* its first row, */
    uint16_t width;  /* its columns, 1 or more, */
    uint16_t height; /* its rows, 1 or more; all in pixels of the picture */
} siamese_fitted;

/*
 * Brings a picture of any size into the image that the model takes, as MNIST was made: the ground
 * becomes 0 and the ink full, 5/7 of the image large, in its middle.
 *
 * `picture` has width * height grey values, row after row. The image goes to `pixels`, which are
 * `pixel_count` bytes: as many as the model takes. `fitted` may be null. The stack needs about
 * 1.5 KiB. If there is an error, what is in `pixels` means nothing.
 *
 * Errors: SIAMESE_ERROR_PICTURE_BLANK and _PICTURE_EMPTY; SIAMESE_ERROR_IMAGE if `pixel_count`
 * doesn't suit the model; SIAMESE_ERROR_CHOICE if `ink` is no siamese_ink.
 */
siamese_error siamese_preprocess(const siamese_model *model, const uint8_t *picture,
                                 uint16_t width, uint16_t height, siamese_ink ink, uint8_t *pixels,
                                 size_t pixel_count, siamese_fitted *fitted);

/* ---- Answers ------------------------------------------------------------------------------ */

/* What a distance says by a threshold. 32 bits, whatever the compiler takes for enums. */
typedef int32_t siamese_decision;

/* The decisions. */
enum {
    SIAMESE_ACCEPTED = 1,    /* near enough: it is the same */
    SIAMESE_REJECTED = 2,    /* it is something else */
    SIAMESE_UNCALIBRATED = 3 /* there is no threshold: nobody knows what the distance means */
};

/* No threshold: the model's is taken, if it has one. */
#define SIAMESE_NO_THRESHOLD ((uint64_t)-1)

/* The largest squared distances that are accepted, in squared steps of a coordinate. */
typedef struct siamese_thresholds {
    uint64_t prototype; /* from an embedding to the mean of a label's examples */
    uint64_t pair;      /* between two embeddings: to an exemplar, or of two images */
} siamese_thresholds;

/* What a gallery holds. */
typedef struct siamese_gallery_info {
    uint32_t entries;              /* the entries that there are */
    uint32_t fingerprint;          /* of its model */
    siamese_thresholds thresholds; /* those that decide: the user's, else the model's */
} siamese_gallery_info;

/* One entry of a gallery. */
typedef struct siamese_entry {
    uint16_t label;      /* what it is an entry for */
    uint16_t examples;   /* the examples that it is the mean of; 1 for an exemplar */
    int32_t is_exemplar; /* 1 if it is one example, kept as it was; else 0 */
} siamese_entry;

/* An entry near an embedding. */
typedef struct siamese_neighbour {
    uint64_t distance_squared; /* in squared steps of a coordinate */
    siamese_decision decision; /* what the threshold of its kind says */
    uint16_t label;            /* what it is an entry for */
} siamese_neighbour;

/* The answer to "what does this look like?". */
typedef struct siamese_identified {
    siamese_neighbour nearest;   /* the nearest entry */
    siamese_neighbour runner_up; /* the nearest one of any other label, if there is one */
    int32_t has_runner_up;       /* 1 if there is one; else 0, and runner_up is all zeros */
    siamese_decision decision;   /* SIAMESE_ACCEPTED: it is nearest.label */
} siamese_identified;

/* The answer to "is this that?". */
typedef struct siamese_verified {
    uint64_t distance_squared; /* in squared steps of a coordinate */
    siamese_decision decision; /* whether it is near enough */
} siamese_verified;

/* ---- Galleries: only where SIAMESE_DIM is defined ------------------------------------------ */

#ifdef SIAMESE_DIM

/*
 * SIAMESE_DIM is the number of coordinates of the model's embeddings, defined before this header
 * is included; siamese_model.h does it. Each number has functions of its own, so that a firmware
 * has the code of one number alone: siamese_enrol is siamese_enrol_d2 to the linker, and so on.
 */
#if SIAMESE_DIM != 2 && SIAMESE_DIM != 3 && SIAMESE_DIM != 4 && SIAMESE_DIM != 8 &&               \
    SIAMESE_DIM != 16 && SIAMESE_DIM != 32 && SIAMESE_DIM != 64
#error "SIAMESE_DIM is 2, 3, 4, 8, 16, 32 or 64; another number is a line in siamese-c/src/gallery"
#endif

/* Bytes of an entry. */
#define SIAMESE_ENTRY_BYTES (4 + 4 * SIAMESE_DIM)
/* Entries of a gallery: as many as 4 KiB hold, and at most 32. */
#define SIAMESE_ENTRIES                                                                           \
    (4096 / SIAMESE_ENTRY_BYTES < 32 ? 4096 / SIAMESE_ENTRY_BYTES : 32)
/* Bytes of a siamese_gallery; its alignment is that of uint64_t. */
#define SIAMESE_GALLERY_BYTES (8 + (84 + SIAMESE_ENTRIES * SIAMESE_ENTRY_BYTES + 7) / 8 * 8)
/* Bytes of a stored gallery, at most. */
#define SIAMESE_STORED_MAX (52 + SIAMESE_ENTRIES * SIAMESE_ENTRY_BYTES)

#define SIAMESE_JOIN_(name, dim) siamese_##name##_d##dim
#define SIAMESE_JOIN(name, dim) SIAMESE_JOIN_(name, dim)
#define siamese_gallery SIAMESE_JOIN(gallery, SIAMESE_DIM)
#define siamese_gallery_init SIAMESE_JOIN(gallery_init, SIAMESE_DIM)
#define siamese_gallery_get_info SIAMESE_JOIN(gallery_get_info, SIAMESE_DIM)
#define siamese_gallery_get_entry SIAMESE_JOIN(gallery_get_entry, SIAMESE_DIM)
#define siamese_gallery_set_thresholds SIAMESE_JOIN(gallery_set_thresholds, SIAMESE_DIM)
#define siamese_enrol SIAMESE_JOIN(enrol, SIAMESE_DIM)
#define siamese_enrol_exemplar SIAMESE_JOIN(enrol_exemplar, SIAMESE_DIM)
#define siamese_forget SIAMESE_JOIN(forget, SIAMESE_DIM)
#define siamese_identify SIAMESE_JOIN(identify, SIAMESE_DIM)
#define siamese_verify SIAMESE_JOIN(verify, SIAMESE_DIM)
#define siamese_verify_pair SIAMESE_JOIN(verify_pair, SIAMESE_DIM)
#define siamese_save SIAMESE_JOIN(save, SIAMESE_DIM)
#define siamese_load SIAMESE_JOIN(load, SIAMESE_DIM)

/* What was enrolled: at most SIAMESE_ENTRIES entries. */
typedef struct siamese_gallery {
    uint64_t opaque[SIAMESE_GALLERY_BYTES / 8];
} siamese_gallery;

/*
 * Makes a gallery for the model's embeddings, with nothing in it, whatever it was.
 *
 * Errors: SIAMESE_ERROR_DIMENSION if the model's embedding has not SIAMESE_DIM coordinates;
 * `*gallery` is not initialised then.
 */
siamese_error siamese_gallery_init(siamese_gallery *gallery, const siamese_model *model);

/* Writes to `*info` what the gallery holds. */
siamese_error siamese_gallery_get_info(const siamese_gallery *gallery, siamese_gallery_info *info);

/* Writes to `*entry` what entry `number` is, from 0 on, in the order in which they were enrolled.
 * Errors: SIAMESE_ERROR_ENTRY if there are not so many. */
siamese_error siamese_gallery_get_entry(const siamese_gallery *gallery, uint32_t number,
                                        siamese_entry *entry);

/* Sets the user's own thresholds: lower to be surer, higher to refuse less, SIAMESE_NO_THRESHOLD
 * to leave it to the model. They are saved with the gallery. */
siamese_error siamese_gallery_set_thresholds(siamese_gallery *gallery,
                                             const siamese_thresholds *thresholds);

/*
 * Takes an example into the prototype of its label, which becomes the mean of all of them. What a
 * label stands for is yours to know.
 *
 * Errors: SIAMESE_ERROR_FULL and SIAMESE_ERROR_EXAMPLES; nothing changes then.
 */
siamese_error siamese_enrol(siamese_gallery *gallery, uint16_t label,
                            const int16_t embedding[SIAMESE_DIM]);

/* Keeps an example as an entry of its own, beside others of its label: for labels whose examples
 * are too different to be averaged. Errors: SIAMESE_ERROR_FULL. */
siamese_error siamese_enrol_exemplar(siamese_gallery *gallery, uint16_t label,
                                     const int16_t embedding[SIAMESE_DIM]);

/* Removes all entries of a label. Errors: SIAMESE_ERROR_NOT_ENROLLED if there are none. */
siamese_error siamese_forget(siamese_gallery *gallery, uint16_t label);

/*
 * Writes to `*found` what an embedding looks like. It is `found->nearest.label` only if
 * `found->decision` is SIAMESE_ACCEPTED: there is always something nearest.
 *
 * Errors: SIAMESE_ERROR_EMPTY if nothing is enrolled.
 */
siamese_error siamese_identify(const siamese_gallery *gallery,
                               const int16_t embedding[SIAMESE_DIM], siamese_identified *found);

/* Writes to `*found` whether an embedding is near enough to one of a label's entries.
 * Errors: SIAMESE_ERROR_NOT_ENROLLED if nothing has the label. */
siamese_error siamese_verify(const siamese_gallery *gallery, uint16_t label,
                             const int16_t embedding[SIAMESE_DIM], siamese_verified *found);

/* Writes to `*found` whether two embeddings are of the same, by the threshold for pairs. */
siamese_error siamese_verify_pair(const siamese_gallery *gallery, const int16_t one[SIAMESE_DIM],
                                  const int16_t other[SIAMESE_DIM], siamese_verified *found);

/*
 * Saves the gallery to a buffer of `capacity` bytes, and writes to `*length` how many were needed.
 * SIAMESE_STORED_MAX are always enough. The same gallery gives the same bytes, everywhere.
 *
 * Errors: SIAMESE_ERROR_ROOM; nothing is written then.
 */
siamese_error siamese_save(const siamese_gallery *gallery, uint8_t *buffer, size_t capacity,
                           size_t *length);

/*
 * Makes the gallery what was saved at the start of `bytes`; whatever follows within `length` bytes
 * is left alone, so a page of flash can be given. `*gallery` needs no siamese_gallery_init before.
 *
 * Errors: SIAMESE_ERROR_STORED_...; the gallery is empty then, as after siamese_gallery_init, and
 * can be used. SIAMESE_ERROR_DIMENSION if the model's embedding has not SIAMESE_DIM coordinates:
 * `*gallery` is not initialised then.
 */
siamese_error siamese_load(siamese_gallery *gallery, const siamese_model *model,
                           const uint8_t *bytes, size_t length);

#endif /* SIAMESE_DIM */

#ifdef __cplusplus
}
#endif

/* The sizes are those that the library was compiled with; its own code and its tests compare. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define SIAMESE_ASSERT(condition, text) static_assert(condition, text)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define SIAMESE_ASSERT(condition, text) _Static_assert(condition, text)
#else
#define SIAMESE_ASSERT(condition, text) extern int siamese_assert_[(condition) ? 1 : -1]
#endif
SIAMESE_ASSERT(sizeof(siamese_model) == SIAMESE_MODEL_BYTES, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_model_info) == 24, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_fitted) == 12, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_gallery_info) == 24, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_entry) == 8, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_neighbour) == 16, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_identified) == 40, "another size than the library's");
SIAMESE_ASSERT(sizeof(siamese_verified) == 16, "another size than the library's");
#ifdef SIAMESE_DIM
SIAMESE_ASSERT(sizeof(siamese_gallery) == SIAMESE_GALLERY_BYTES, "another size than the library's");
#endif
#undef SIAMESE_ASSERT

#endif /* SIAMESE_H */
