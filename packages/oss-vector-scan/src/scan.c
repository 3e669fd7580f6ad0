#include "scan.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) && defined(__x86_64__) /* of 32 bits it lacks how the digits get out */
#define TAKES_SSE
#include <emmintrin.h>
#endif

#include "powers.h"

/* Words at once: digits are counted and joined without a jump, however many of them there are. */
#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TAKES_WORDS
#endif

typedef const unsigned char *place;

#if defined(__GNUC__)
#define INLINED inline __attribute__((always_inline))
#define APART __attribute__((noinline))
#else
#define INLINED
#define APART
#endif
#define IS_DIGIT(c) ((unsigned char)((c) - '0') <= 9)
#define IS_BLANK(c) ((c) == ' ' || (c) == '\n' || (c) == '\r' || (c) == '\t')
#define MOST_DIGITS 19          /* so many always go into 64 bits */
#define MOST_ROUNDS 4           /* of 8 digits; more are not plain */
#define NUMBER_ROOM 96          /* bytes: two runs of digits, the longest exponent, and some */
#define FIRST_ROOM 4096
#define GREATEST UINT32_C(0x7f7fffff)
#define LAST_EXACT_POWER 27

/* Names on the way to the numbers, by the depth of their object. */
static const char *const names[] = {"vectors", "data", "float32"};
#define NUMBERS_DEPTH 2

#define EXACT_DIGITS 15         /* as doubles, such whole numbers and such powers of ten are exact */
#define EXACT_BELOW UINT64_C(1000000000000000)
static const double exact_tens[] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
};

static int leading_zeros(uint64_t value) /* of a value that is not 0 */
{
#if defined(__GNUC__)
    return __builtin_clzll(value);
#else
    int count = 0;
    while (!(value >> 63)) {
        value <<= 1;
        count++;
    }
    return count;
#endif
}

/* Return the upper half of a product, and its lower half through `low`. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *low)
{
#if defined(__SIZEOF_INT128__)
    unsigned __int128 product = (unsigned __int128)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t lowest = a0 * b0, one = a1 * b0, other = a0 * b1;
    uint64_t middle = (lowest >> 32) + (uint32_t)one + (uint32_t)other;
    *low = (middle << 32) | (uint32_t)lowest;
    return a1 * b1 + (one >> 32) + (other >> 32) + (middle >> 32);
#endif
}

/* Round digits * 10^power to float32, once; 0 where that is not certain, or too large.

   The product of 64 bits by 64 bits is cut by less than 2 units of its upper half. All bits of that
   below the float32 decide how to round: where they are too near to one half to tell, as about one
   number in 2^38 is that is no tie, nothing is decided here. */
static int round_once(uint64_t digits, int power, uint32_t *bits)
{
    uint64_t upper, lower, kept, rest, half;
    int exponent, lowest, shift, cut;

    *bits = 0;
    if (digits == 0 || power < LEAST_POWER) /* then under half of the least float32 */
        return 1;
    if (power > GREATEST_POWER)
        return 0;
    shift = leading_zeros(digits);
    upper = multiply(digits << shift, powers[power - LEAST_POWER], &lower);
    /* The value of the lowest bit of `upper`, as an exponent of 2. 217706 / 65536 is log2(10), and 300
       keeps what is shifted positive. */
    lowest = ((217706 * power + (300 << 16)) >> 16) - 300 + 1 - shift;
    exponent = lowest + 63 - leading_zeros(upper); /* of the highest bit */
    if (exponent > 127)
        return 0;
    cut = (exponent < -126 ? -149 : exponent - 23) - lowest;
    if (cut > 64)
        return 1;
    kept = cut == 64 ? 0 : upper >> cut;
    half = UINT64_C(1) << (cut - 1);
    rest = cut == 64 ? upper : upper & ((half << 1) - 1);
    if (rest - (half - 1) > 1) /* neither half nor one less */
        kept += rest > half;   /* without a jump, which would be guessed wrong half the time */
    else if (power >= 0 && power <= LAST_EXACT_POWER)
        kept += rest == half && (lower != 0 || (kept & 1)); /* a tie goes to the even one */
    else
        return 0;
    /* the highest bit of `kept` is not stored: added, it raises the exponent by one */
    *bits = (exponent < -126 ? 0 : (uint32_t)(exponent + 126) << 23) + (uint32_t)kept;
    return *bits < GREATEST;
}

/* The same; what is short, of at most EXACT_DIGITS digits and as many decimals, takes less.

   The quotient of two doubles that are exact is rounded once. Where what it has below a float32 is not
   just one half, the number itself lies on the same side of that half, and rounds as the quotient. */
static INLINED int round_number(uint64_t digits, int power, int is_short, uint32_t *bits)
{
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    if (is_short) {
        double quotient = (double)(int64_t)digits / exact_tens[-power];
        float rounded = (float)quotient;
        uint64_t all;

        memcpy(&all, &quotient, sizeof all);
        memcpy(bits, &rounded, sizeof rounded);
        if ((all & 0x1fffffff) != 0x10000000)
            return 1;
    }
#else
    (void)is_short;
#endif
    return round_once(digits, power, bits);
}

#if defined(TAKES_WORDS)
static const uint64_t tens[] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
    100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000,
    10000000000000000,
};

static INLINED uint64_t load_word(place p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Return the number that 8 digits make, each in a byte, without what makes them text. */
static INLINED uint64_t join_word(uint64_t word)
{
    word = (word * 10 + (word >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word * 100 + (word >> 16)) & UINT64_C(0x0000ffff0000ffff);
    return (word * 10000 + (word >> 32)) & UINT64_C(0x00000000ffffffff);
}

/* Return which of 8 bytes are no digits: the highest bit of each. */
static INLINED uint64_t mark_others(uint64_t word)
{
    word ^= UINT64_C(0x3030303030303030); /* digits are 0 to 9 now, all else is more */
    return (((word & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7676767676767676)) | word)
           & UINT64_C(0x8080808080808080);
}

/* Return which of 16 bytes are no digits, a bit for each. */
static INLINED uint32_t find_others(place p)
{
#if defined(TAKES_SSE)
    __m128i bytes = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(9)), bytes)) ^ 0xffff;
#else
    const uint64_t gather = UINT64_C(0x0002040810204081);

    return (uint32_t)(mark_others(load_word(p)) * gather >> 56 | mark_others(load_word(p + 8)) * gather >> 56 << 8);
#endif
}

/* Return the number that 0 to 16 digits make which end before `behind`; 16 bytes there can be read. */
static INLINED uint64_t join_digits(place behind, int count)
{
    /* what is no digit goes, zeros come in front */
    static const unsigned char masks[32] = {
        [16] = 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    };
#if defined(TAKES_SSE)
    __m128i ones = _mm_and_si128(_mm_loadu_si128((const __m128i *)(behind - 16)),
                                 _mm_loadu_si128((const __m128i *)(masks + count)));
    __m128i firsts = _mm_mullo_epi16(_mm_and_si128(ones, _mm_set1_epi16(0xff)), _mm_set1_epi16(10));
    __m128i twos = _mm_add_epi16(firsts, _mm_srli_epi16(ones, 8));
    __m128i fours = _mm_madd_epi16(twos, _mm_set1_epi32(1 << 16 | 100));
    __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10000));
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);

    return (both & 0xffffffff) * 100000000 + (both >> 32);
#else
    uint64_t first = load_word(behind - 16) & load_word(masks + count);
    uint64_t last = load_word(behind - 8) & load_word(masks + count + 8);

    return join_word(first) * 100000000 + join_word(last);
#endif
}
#endif

/* Take up to 8 digits at once into `digits`; return how many there were. */
static INLINED int take_digits(place p, uint64_t *digits)
{
    int count;
#if defined(TAKES_WORDS)
    uint64_t word = load_word(p), others = mark_others(word);

    count = others ? __builtin_ctzll(others) >> 3 : 8;
    /* What is no digit goes, zeros come in front. In two shifts, for none may be of 64 bits. */
    word = (word & UINT64_C(0x0f0f0f0f0f0f0f0f)) << (32 - 4 * count) << (32 - 4 * count);
    *digits = *digits * tens[count] + join_word(word);
#else
    for (count = 0; count < 8 && IS_DIGIT(p[count]); count++)
        *digits = *digits * 10 + (uint64_t)(p[count] - '0');
#endif
    return count;
}

/* Take a run of digits; NULL where it is longer than any plain one. */
static place take_run(place p, uint64_t *digits)
{
    int round, count;

    for (round = 0; round < MOST_ROUNDS; round++) {
        count = take_digits(p, digits);
        p += count;
        if (count < 8)
            return p;
    }
    return NULL;
}

/* Count the digits behind leading zeros, without the point. */
static int count_significant(place first, place point, place behind)
{
    place digit = first;

    while (digit < behind && (*digit == '0' || digit == point))
        digit++;
    return (int)(behind - digit) - (digit < point && point < behind);
}

/* Read a number as JSON has them, of which NUMBER_ROOM bytes can be read; NULL where it is none, or
   not certain. */
static APART place read_any_number(place p, uint32_t *bits)
{
    uint64_t digits;
    uint32_t is_negative = *p == '-';
    int power = 0, is_whole = 1, is_short;
    place first, point;

    first = p += is_negative;
    if (!IS_DIGIT(*p))
        return NULL;
    digits = (uint64_t)(*p++ - '0');
    if (IS_DIGIT(*p)) {
        if (digits == 0)
            return NULL;
        p = take_run(p, &digits);
        if (p == NULL)
            return NULL;
    }
    point = p;
    if (*p == '.') {
        p = take_run(p + 1, &digits);
        if (p == NULL || p == point + 1)
            return NULL;
        power = -(int)(p - point - 1);
        is_whole = 0;
    }
    if (p - first > MOST_DIGITS && count_significant(first, point, p) > MOST_DIGITS)
        return NULL;
    if ((*p | 0x20) == 'e') {
        int exponent = 0, is_small, count;

        p++;
        is_small = *p == '-';
        p += is_small || *p == '+';
        for (count = 0; count < 4 && IS_DIGIT(*p); count++)
            exponent = exponent * 10 + (*p++ - '0');
        if (count == 0) /* a fifth digit is taken for what comes behind the number, and refused */
            return NULL;
        power += is_small ? -exponent : exponent;
        is_whole = 0;
    }
    if (is_negative && is_whole && digits == 0)
        return NULL; /* readers differ on whether -0 has a sign */
    is_short = digits < EXACT_BELOW && power <= 0 && power >= -EXACT_DIGITS;
    if (!round_number(digits, power, is_short, bits))
        return NULL;
    *bits |= is_negative << 31;
    return p;
}

/* The same near the end of the text, where less can be read. */
static place read_last_number(place p, place end, uint32_t *bits)
{
    unsigned char copy[NUMBER_ROOM] = {0};
    place behind;

    memcpy(copy, p, (size_t)(end - p));
    behind = read_any_number(copy, bits);
    return behind == NULL ? NULL : p + (behind - copy);
}

static place skip_blanks(place p, place end)
{
    while (p < end && IS_BLANK(*p))
        p++;
    return p;
}

/* Read an item of an array, and blanks around it. */
static APART place read_any_item(place p, place end, uint32_t *bits)
{
    p = skip_blanks(p, end);
    p = end - p < NUMBER_ROOM ? read_last_number(p, end, bits) : read_any_number(p, bits);
    return p == NULL ? NULL : skip_blanks(p, end);
}

/* The same; nearly all are a number with a point, have neither an exponent nor blanks, and take less.

   What the next one waits for is its place: that comes of few steps, and the rest goes on beside it.
   So the slow way is a jump to somewhere else, and no NULL that the place would be compared with. */
static INLINED place read_item(place p, place end, uint32_t *bits)
{
#if defined(TAKES_WORDS)
    uint32_t is_negative, others, behind_point;
    uint64_t digits;
    place first, point, behind;
    int decimals, rest;

    if (end - p < NUMBER_ROOM)
        goto any;
    is_negative = *p == '-';
    others = (find_others(p) | find_others(p + 16) << 16) & ~UINT32_C(1); /* but for a sign */
    behind_point = others & (others - 1);
    if (behind_point == 0)
        goto any;
    first = p + is_negative;
    point = p + __builtin_ctz(others);
    behind = p + __builtin_ctz(behind_point);
    digits = (uint64_t)*first - '0';
    decimals = rest = (int)(behind - point - 1);
    if (*point != '.' || digits > 9 || point == first || rest == 0 || behind - first > MOST_DIGITS + 1)
        goto any;
    if (*behind != ',' && *behind != ']')
        goto any;
    if (point - first > 1) {
        if (point - first > 3 || digits == 0)
            goto any;
        digits = digits * 10 + (uint64_t)(first[1] - '0');
        if (point - first > 2)
            digits = digits * 10 + (uint64_t)(first[2] - '0');
    }
    if (rest > 16) { /* by one or two */
        uint64_t two = (load_word(point + 1) & UINT64_C(0x0f0f0f0f0f0f0f0f)) << (64 - 8 * (rest - 16));

        digits = digits * tens[rest - 16] + (two >> 48 & 15) * 10 + (two >> 56);
        rest = 16;
    }
    /* before the first number stand the names that lead to it */
    digits = digits * tens[rest] + join_digits(behind, rest);
    if (!round_number(digits, -decimals, behind - first <= EXACT_DIGITS + 1, bits))
        goto any;
    *bits |= is_negative << 31;
    return behind;
any:
#endif
    return read_any_item(p, end, bits);
}

/* Return memory for one item more than there are, NULL where there is none: `items`, or twice that. */
static void *make_room(void *items, size_t count, size_t *room, size_t size)
{
    void *grown;

    if (count < *room)
        return items;
    grown = *room > SIZE_MAX / size / 2 ? NULL : realloc(items, *room * 2 * size);
    if (grown != NULL)
        *room *= 2;
    return grown;
}

/* Read an array of numbers, from behind its bracket to behind the other. */
static place read_array(place p, place end, place text, struct found *found)
{
    size_t start = (size_t)(p - 1 - text), before = found->number_count, count = before;
    struct span *arrays;

    for (;;) {
        uint32_t *numbers = make_room(found->numbers, count, &found->number_room, sizeof(uint32_t));

        if (numbers == NULL)
            goto no_memory;
        found->numbers = numbers;
        for (; count < found->number_room; p++) {
            p = read_item(p, end, numbers + count);
            if (p == NULL || p == end)
                return NULL;
            count++;
            if (*p == ']')
                goto whole;
            if (*p != ',')
                return NULL;
        }
    }
whole:
    p++;
    if (found->array_count == 0) {
        /* as many as there can be, if they are as long as these; the text around makes up for those
           that are shorter */
        size_t room = (size_t)((double)(end - text) / (double)((size_t)(p - text) - start) * (double)count);

        found->dimension = count;
        if (room > found->number_room) {
            uint32_t *grown = realloc(found->numbers, room * sizeof(uint32_t));

            if (grown == NULL)
                goto no_memory;
            found->numbers = grown;
            found->number_room = room;
        }
    } else if (count - before != found->dimension)
        return NULL;
    found->number_count = count;
    arrays = make_room(found->arrays, found->array_count, &found->array_room, sizeof(struct span));
    if (arrays == NULL)
        goto no_memory;
    found->arrays = arrays;
    found->arrays[found->array_count].start = start;
    found->arrays[found->array_count].end = (size_t)(p - text);
    found->array_count++;
    return p;
no_memory:
    found->no_memory = 1;
    return NULL;
}

/* Skip a string, from its first quote to behind its last. */
static place skip_string(place p, place end)
{
    place from = ++p, back;

    for (;;) {
        p = memchr(p, '"', (size_t)(end - p));
        if (p == NULL)
            return NULL;
        for (back = p; back > from && back[-1] == '\\';)
            back--;
        p++;
        if ((p - 1 - back) % 2 == 0)
            return p;
        from = p;
    }
}

/* Skip a value that is not ours to read; whether it is JSON is judged by whoever reads the rest. */
static place skip_value(place p, place end)
{
    size_t depth = 0;
    place start = p;

    while (p < end) {
        unsigned char c = *p;
        if (c == '"') {
            p = skip_string(p, end);
            if (p == NULL || depth == 0)
                return p;
        } else if (c == '{' || c == '[') {
            depth++;
            p++;
        } else if (depth > 0) {
            p++;
            if ((c == '}' || c == ']') && --depth == 0)
                return p;
        } else { /* a number, true, false, null */
            while (p < end && !IS_BLANK(*p) && memchr(",]}\"[{:", *p, 7) == NULL)
                p++;
            return p == start ? NULL : p;
        }
    }
    return NULL;
}

static place walk_object(place p, place end, place text, int depth, struct found *found);

/* Walk over the items of `vectors`, from behind its bracket to behind the other. */
static place walk_items(place p, place end, place text, struct found *found)
{
    p = skip_blanks(p, end);
    if (p < end && *p == ']')
        return p + 1;
    for (;;) {
        p = skip_blanks(p, end);
        if (p == end)
            return NULL;
        p = *p == '{' ? walk_object(p + 1, end, text, 1, found) : skip_value(p, end);
        if (p == NULL)
            return NULL;
        p = skip_blanks(p, end);
        if (p == end || (*p != ',' && *p != ']'))
            return NULL;
        if (*p++ == ']')
            return p;
    }
}

/* Walk over the members of an object, from behind its brace to behind the other. */
static place walk_object(place p, place end, place text, int depth, struct found *found)
{
    size_t wanted = strlen(names[depth]);

    p = skip_blanks(p, end);
    if (p < end && *p == '}')
        return p + 1;
    for (;;) {
        place name, quote;
        int is_named;

        p = skip_blanks(p, end);
        if (p == end || *p != '"')
            return NULL;
        name = p + 1;
        quote = memchr(name, '"', (size_t)(end - name));
        /* with a backslash it may be any name */
        if (quote == NULL || memchr(name, '\\', (size_t)(quote - name)) != NULL)
            return NULL;
        is_named = (size_t)(quote - name) == wanted && memcmp(name, names[depth], wanted) == 0;
        p = skip_blanks(quote + 1, end);
        if (p == end || *p != ':')
            return NULL;
        p = skip_blanks(p + 1, end);
        if (p == end)
            return NULL;
        if (is_named && depth == NUMBERS_DEPTH) {
            /* anything else could be taken for the number that is put in an array's place */
            if (*p != '[')
                return NULL;
            p = read_array(p + 1, end, text, found);
        } else if (is_named && depth == 0 && *p == '[') {
            p = walk_items(p + 1, end, text, found);
        } else if (is_named && depth == 1 && *p == '{') {
            p = walk_object(p + 1, end, text, NUMBERS_DEPTH, found);
        } else {
            p = skip_value(p, end);
        }
        if (p == NULL)
            return NULL;
        p = skip_blanks(p, end);
        if (p == end || (*p != ',' && *p != '}'))
            return NULL;
        if (*p++ == '}')
            return p;
    }
}

int scan_text(const unsigned char *text, size_t length, struct found *found)
{
    place end = text + length, p;

    memset(found, 0, sizeof *found);
    p = skip_blanks(text, end);
    if (p == end || *p != '{')
        return 0;
    found->number_room = FIRST_ROOM;
    found->array_room = 128;
    found->numbers = malloc(found->number_room * sizeof(uint32_t));
    found->arrays = malloc(found->array_room * sizeof(struct span));
    if (found->numbers == NULL || found->arrays == NULL) {
        found->no_memory = 1;
        return 0;
    }
    p = walk_object(p + 1, end, text, 0, found);
    return p != NULL && skip_blanks(p, end) == end && found->array_count > 0;
}

void free_found(struct found *found)
{
    free(found->numbers);
    free(found->arrays);
}
