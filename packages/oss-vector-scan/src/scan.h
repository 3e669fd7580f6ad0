/* The scan itself, without Python: one pass over the text of a reply. */

#ifndef OSS_VECTOR_SCAN_H
#define OSS_VECTOR_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* The place of an array in the text, with its brackets. */
struct span {
    size_t start, end;
};

/* What was found: `arrays`, each of `dimension` numbers, which follow each other in `numbers`. */
struct found {
    uint32_t *numbers; /* the bits of a float32 each */
    size_t number_count, number_room;
    struct span *arrays;
    size_t array_count, array_room;
    size_t dimension;
    int no_memory;
};

/* Read the arrays at vectors[i].data.float32; 1 where all of it is certainly plain, else 0.

   Plain says that each number was rounded once, to the nearest float32, and that the text with a
   number between blanks in the place of each array is JSON if and only if the text is. Whether it
   is JSON at all is not judged here. Free `found` after either answer. */
int scan_text(const unsigned char *text, size_t length, struct found *found);

void free_found(struct found *found);

#endif
