/*
 * The whole way on a device: golden vectors are embedded and compared, a few are enrolled and
 * identified, the gallery is saved and loaded, a picture becomes an image, and errors come as
 * numbers and in words. Says on the emulator's console what it found; the exit code is 0 if all
 * is as it should be.
 */
#include "siamese_model.h" /* before siamese.h: it has SIAMESE_DIM */

#include "board.h"
#include "siamese.h"
#include "siamese_golden.h"

/* The images that are enrolled, each under a label of its own. */
#define ENROLLED 4
/* A picture: a dark stroke on grey paper. */
#define PICTURE_WIDTH 60
#define PICTURE_HEIGHT 40

/* All that is large, in static memory: it is zero at the start, as the header asks for. */
static siamese_model model;
static siamese_gallery gallery;
static siamese_gallery loaded;
static uint8_t scratch[SIAMESE_MODEL_SCRATCH];
static uint8_t image[SIAMESE_MODEL_PIXELS];
static uint8_t picture[PICTURE_WIDTH * PICTURE_HEIGHT];
static uint8_t record[SIAMESE_STORED_MAX];
static uint8_t again[SIAMESE_STORED_MAX];

/* Ends the program if `error` is not the expected one. */
static void expect(const char *what, siamese_error error, siamese_error expected) {
    if (error != expected) {
        print(what);
        print(": ");
        print(siamese_error_text(error));
        print("\n");
        board_exit(1);
    }
}

/* Ends the program if something is not as it should be. */
static void require(const char *what, int is_right) {
    if (!is_right) {
        print(what);
        print(": wrong\n");
        board_exit(1);
    }
}

/* The point of a golden image. */
static void embed(size_t number, int16_t point[SIAMESE_DIM]) {
    siamese_error error = siamese_embed(&model, siamese_golden_images[number], SIAMESE_MODEL_PIXELS,
                                        scratch, sizeof scratch, point, SIAMESE_DIM);
    expect("embed", error, SIAMESE_OK);
}

/* Every coordinate of every golden vector is the host's. */
static void compare_golden(void) {
    size_t number;
    for (number = 0; number < SIAMESE_GOLDEN_COUNT; number++) {
        int16_t point[SIAMESE_DIM];
        size_t axis;
        embed(number, point);
        for (axis = 0; axis < SIAMESE_DIM; axis++) {
            require("a coordinate", point[axis] == siamese_golden_points[number][axis]);
        }
    }
    print_number("golden vectors equal: ", SIAMESE_GOLDEN_COUNT);
}

/* What was enrolled is found. */
static void identify_all(const siamese_gallery *in) {
    uint16_t label;
    for (label = 0; label < ENROLLED; label++) {
        int16_t point[SIAMESE_DIM];
        siamese_identified found;
        siamese_verified verified;
        embed(label, point);
        expect("identify", siamese_identify(in, point, &found), SIAMESE_OK);
        require("the nearest label", found.nearest.label == label);
        require("its distance", found.nearest.distance_squared == 0);
        require("the runner-up", found.has_runner_up && found.runner_up.label != label);
        require("the decision", found.decision == SIAMESE_ACCEPTED);
        expect("verify", siamese_verify(in, label, point, &verified), SIAMESE_OK);
        require("its decision", verified.decision == SIAMESE_ACCEPTED);
    }
}

/* Enrols, identifies, forgets. */
static void use_gallery(void) {
    siamese_gallery_info info;
    siamese_identified found;
    /* Whatever the model was calibrated for, if it was. */
    siamese_thresholds nearly_equal = {1, 1};
    int16_t point[SIAMESE_DIM];
    uint16_t label;
    expect("gallery", siamese_gallery_init(&gallery, &model), SIAMESE_OK);
    embed(0, point);
    expect("identify", siamese_identify(&gallery, point, &found), SIAMESE_ERROR_EMPTY);
    expect("thresholds", siamese_gallery_set_thresholds(&gallery, &nearly_equal), SIAMESE_OK);
    for (label = 0; label <= ENROLLED; label++) {
        embed(label, point);
        expect("enrol", siamese_enrol(&gallery, label, point), SIAMESE_OK);
    }
    expect("forget", siamese_forget(&gallery, ENROLLED), SIAMESE_OK);
    expect("forget", siamese_forget(&gallery, ENROLLED), SIAMESE_ERROR_NOT_ENROLLED);
    identify_all(&gallery);
    expect("info", siamese_gallery_get_info(&gallery, &info), SIAMESE_OK);
    print_number("enrolled and identified: ", info.entries);
}

/* What is saved is loaded, and damage is noticed. */
static void save_and_load(void) {
    size_t length, length_again, position;
    expect("save", siamese_save(&gallery, record, sizeof record, &length), SIAMESE_OK);
    expect("load", siamese_load(&loaded, &model, record, sizeof record), SIAMESE_OK);
    identify_all(&loaded);
    expect("save", siamese_save(&loaded, again, sizeof again, &length_again), SIAMESE_OK);
    require("the length", length == length_again);
    for (position = 0; position < length; position++) {
        require("a byte", record[position] == again[position]);
    }
    record[length - 1] ^= 1;
    expect("load", siamese_load(&loaded, &model, record, length), SIAMESE_ERROR_STORED_CHECKSUM);
    expect("save", siamese_save(&gallery, record, length - 1, &length), SIAMESE_ERROR_ROOM);
    print_number("saved and loaded, bytes: ", length_again);
}

/* A picture of any size becomes an image. */
static void preprocess(void) {
    siamese_fitted fitted;
    size_t row, column;
    for (row = 0; row < PICTURE_HEIGHT; row++) {
        for (column = 0; column < PICTURE_WIDTH; column++) {
            int is_stroke = row >= 10 && row < 30 && column >= 12 && column < 16;
            picture[row * PICTURE_WIDTH + column] = is_stroke ? 40 : 180;
        }
    }
    expect("preprocess",
           siamese_preprocess(&model, picture, PICTURE_WIDTH, PICTURE_HEIGHT, SIAMESE_INK_AUTO,
                              image, sizeof image, &fitted),
           SIAMESE_OK);
    require("the ink", fitted.ink == SIAMESE_INK_DARK);
    require("its box", fitted.left == 12 && fitted.top == 10);
    require("its size", fitted.width == 4 && fitted.height == 20);
    require("the middle",
            image[SIAMESE_MODEL_HEIGHT / 2 * SIAMESE_MODEL_WIDTH + SIAMESE_MODEL_WIDTH / 2] == 255);
    print("a picture became an image\n");
}

int main(void) {
    siamese_model_info info;
    siamese_error error = siamese_model_init(&model, siamese_model_bytes, 100);
    expect("a model that is cut off", error, SIAMESE_ERROR_MODEL_TRUNCATED);
    print("of a part of the model: ");
    print(siamese_error_text(error));
    print("\n");
    expect("info", siamese_model_get_info(&model, &info), SIAMESE_ERROR_NOT_INITIALISED);

    expect("model", siamese_model_init(&model, siamese_model_bytes, sizeof siamese_model_bytes),
           SIAMESE_OK);
    expect("info", siamese_model_get_info(&model, &info), SIAMESE_OK);
    require("the coordinates", info.dim == SIAMESE_DIM);
    require("the pixels", info.width * info.height == SIAMESE_MODEL_PIXELS);
    require("the scratch memory", info.scratch == SIAMESE_MODEL_SCRATCH);

    compare_golden();
    use_gallery();
    save_and_load();
    preprocess();
    print_number("bytes of stack: ", board_stack_used());
    print("all is right\n");
    return 0;
}
