/* The scan without Python, for sanitizers: each text stands in memory of its own, to the byte.

   Reads a text's length in 4 bytes and the text, again and again. Answers each with 4 bytes, how many
   of its beginnings (from none of it to all) are taken as plain, and 4 with how many numbers the whole
   holds, then those. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

static uint32_t take(const unsigned char *text, size_t length, int is_whole, uint32_t *answer)
{
    unsigned char *copy = malloc(length ? length : 1);
    struct found found;
    uint32_t is_plain;

    memcpy(copy, text, length);
    is_plain = (uint32_t)scan_text(length ? copy : copy + 1, length, &found);
    if (is_whole) {
        answer[0] += is_plain;
        answer[1] = is_plain ? (uint32_t)found.number_count : 0;
        fwrite(answer, sizeof *answer, 2, stdout);
        if (is_plain)
            fwrite(found.numbers, sizeof *found.numbers, answer[1], stdout);
    }
    free_found(&found);
    free(copy);
    return is_plain;
}

int main(void)
{
    uint32_t length;

    while (fread(&length, sizeof length, 1, stdin) == 1) {
        unsigned char *text = malloc(length ? length : 1);
        uint32_t answer[2] = {0, 0};
        size_t cut;

        if (fread(text, 1, length, stdin) != length)
            return 1;
        for (cut = 0; cut < length; cut++)
            answer[0] += take(text, cut, 0, NULL);
        take(text, length, 1, answer);
        free(text);
    }
    return 0;
}
