/* One new position of every row through a whole stack: the same function as `Stack.forward`, for `uniaudio.lm.compiled`.
 *
 * A step of decoding reads every weight once, so the weights lie in the order in which they are read: tiles of 32 outputs,
 * `[O / 32, I, 32]`. What lies in a tile is multiplied with several rows while it passes. Every row is summed in the same
 * order however many there are, so a row alone and in a batch gets the same bits.
 *
 * Everything but weights and cache is float32. `Number` is float, or bfloat16 with -DBFLOAT16.
 *
 * Sizes: B rows, D width, H query heads, G key and value heads, E head size, M width of the MLP, L slots, I inputs, O outputs.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define TILE 32
/* What the processor has: numbers in a register, and the most rows whose sums, two registers each, stay in registers. Vectors that
 * are longer than registers are built from memory, at down to a twenty-eighth of the speed. */
#if defined(__AVX512F__)
#define LANES 16
#define MOST_ROWS 8
#elif defined(__AVX__)
#define LANES 8
#define MOST_ROWS 6
#else
#define LANES 4
#define MOST_ROWS 4
#endif
/* Registers of outputs that go through together, with many rows and with one or two. */
#define NARROW 2
#define WIDE (TILE / LANES < 4 ? TILE / LANES : 4)
/* Inputs that are fetched ahead of the one that is multiplied: 8 KiB of float32. */
#define AHEAD 64
#define CACHE_LINE (64 / (int)sizeof(Number))
#define ALWAYS static inline __attribute__((always_inline))

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4)));

#ifdef BFLOAT16
typedef uint16_t Number;
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));

ALWAYS Lanes lanes(const Number *from) { return (Lanes)(__builtin_convertvector(*(const Halves *)from, Words) << 16); }

ALWAYS float value(Number number) {
    uint32_t bits = (uint32_t)number << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* To the nearest, ties to even; what is no number stays none. */
ALWAYS Number number(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return value != value ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
#else
typedef float Number;

ALWAYS Lanes lanes(const Number *from) { return *(const Lanes *)from; }
ALWAYS float value(Number number) { return number; }
ALWAYS Number number(float value) { return value; }
#endif

/* Some outputs of a tile times `num_rows` rows, added to what is in `out` or put there. Numbers of rows and of registers are
 * constants where this is called, so that the sums stay in registers. */
ALWAYS void part(int num_rows, int num_registers, const Number *weight, const float *x, int64_t I, float *out, int64_t O,
                 int64_t width, int adds) {
    Lanes sums[MOST_ROWS][TILE / LANES], passing[TILE / LANES];
    for (int b = 0; b < num_rows; b++)
        for (int r = 0; r < num_registers; r++) sums[b][r] = (Lanes){0};
    for (int64_t i = 0; i < I; i++, weight += TILE) {
        __builtin_prefetch(weight + AHEAD * TILE);
        if (num_registers * LANES > CACHE_LINE) __builtin_prefetch(weight + AHEAD * TILE + CACHE_LINE);
        for (int r = 0; r < num_registers; r++) passing[r] = lanes(weight + r * LANES);
        for (int b = 0; b < num_rows; b++)
            for (int r = 0; r < num_registers; r++) sums[b][r] += passing[r] * x[b * I + i];
    }
    for (int b = 0; b < num_rows; b++) {
        float found[TILE];
        for (int r = 0; r < num_registers; r++) memcpy(found + r * LANES, &sums[b][r], sizeof(Lanes));
        for (int64_t o = 0; o < width; o++) out[b * O + o] = adds ? out[b * O + o] + found[o] : found[o];
    }
}

ALWAYS void tile(int num_rows, int num_registers, const Number *weight, const float *x, int64_t I, float *out, int64_t O,
                 int64_t width, int adds) {
    const int64_t most = num_registers * LANES;
    for (int64_t o = 0; o < width; o += most)
        part(num_rows, num_registers, weight + o, x, I, out + o, O, width - o < most ? width - o : most, adds);
}

/* `[B, I]` times tiles -> `[B, O]`. */
void multiply(const Number *weight, const float *x, float *out, int64_t B, int64_t I, int64_t O, int adds, int num_threads) {
    int64_t num_tiles = (O + TILE - 1) / TILE;
#pragma omp parallel for num_threads(num_threads) if (num_threads > 1)
    for (int64_t t = 0; t < num_tiles; t++) {
        const Number *at = weight + t * I * TILE;
        float *to = out + t * TILE;
        int64_t width = O - t * TILE < TILE ? O - t * TILE : TILE;
        int64_t b = 0;
        for (; b + MOST_ROWS <= B; b += MOST_ROWS) tile(MOST_ROWS, NARROW, at, x + b * I, I, to + b * O, O, width, adds);
        for (; b + 4 <= B; b += 4) tile(4, NARROW, at, x + b * I, I, to + b * O, O, width, adds);
        for (; b + 2 <= B; b += 2) tile(2, WIDE, at, x + b * I, I, to + b * O, O, width, adds);
        for (; b < B; b++) tile(1, WIDE, at, x + b * I, I, to + b * O, O, width, adds);
    }
}

/* `RMSNorm`. */
static void normalize(const float *x, const float *weight, float eps, float *out, int64_t B, int64_t D) {
    for (int64_t b = 0; b < B; b++, x += D, out += D) {
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t d = 0; d < D; d++) squares += x[d] * x[d];
        float scale = 1 / sqrtf(squares / D + eps);
        for (int64_t d = 0; d < D; d++) out[d] = x[d] * scale * weight[d];
    }
}

/* Rotates one head as `rope.rotate` does. */
static void rotate(float *head, const float *cosine, const float *sine, float scale, int64_t E) {
    for (int64_t e = 0; e < E / 2; e++) {
        float first = head[e], second = head[e + E / 2];
        head[e] = scale * (first * cosine[e] - second * sine[e]);
        head[e + E / 2] = scale * (second * cosine[e + E / 2] + first * sine[e + E / 2]);
    }
}

/* e^x within 2e-7 of its value: 2^n e^rest with n whole and `rest` small. The compiler turns loops over it into vectors, which
 * it cannot do with `expf`. Coefficients: the minimax polynomial of Cephes (S. Moshier), `expf`. */
ALWAYS float exponential(float x) {
    const float shift = 12582912; /* 1.5 * 2^23: adding it rounds to a whole number, which its low bits then hold */
    x = x < -87 ? -87 : x;
    x = x > 88 ? 88 : x;
    float shifted = x * 1.44269504f + shift;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000 + 127) << 23;
    float power, whole = shifted - shift, rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    memcpy(&power, &bits, sizeof power);
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    return power * (sum * rest * rest + rest + 1);
}

/* One query head over the keys 0 .. num_keys - 1, for which there is room in `shares`. */
static void attend(const float *query, const Number *keys, const Number *values, int64_t num_keys, int64_t E,
                   float *restrict shares, float *restrict out) {
    float most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < num_keys; k++) {
        float score = 0;
#pragma omp simd reduction(+ : score)
        for (int64_t e = 0; e < E; e++) score += query[e] * value(keys[k * E + e]);
        shares[k] = score;
        most = score > most ? score : most;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < num_keys; k++) sum += shares[k] = exponential(shares[k] - most);
    memset(out, 0, E * sizeof *out);
    for (int64_t k = 0; k < num_keys; k++)
        for (int64_t e = 0; e < E; e++) out[e] += shares[k] / sum * value(values[k * E + e]);
}

struct Stack {
    int64_t num_layers, D, H, G, E, M;
    float eps;
    const Number *const *weights; /* qkv, out, gate, up, down of every layer */
    const float *norms;           /* [2 * num_layers + 1, D] */
};

/* What `step` needs besides: [B, D], [B, (H + 2G) E], [B, H E], [B, M], [B, M], [L]. */
int64_t scratch_size(const struct Stack *s, int64_t B, int64_t L) {
    return B * (s->D + (2 * s->H + 2 * s->G) * s->E + 2 * s->M) + L;
}

/* `x` `[B, D]` is changed in place; `cache` is the first rows of `[layers, 2, rows, G, L, E]`. The new position is put into the slots `[B]`, turned
 * by cosines and sines `[B, E]`, or by `[1]` and `[1, E]` where all rows are `even`. Returns 1 and changes nothing where a slot
 * lies outside of the cache. */
int step(const struct Stack *s, float *x, Number *cache, const int64_t *slots, const float *cosine, const float *sine,
          int64_t even, int64_t B, int64_t rows, int64_t L, float *scratch, int num_threads) {
    int64_t D = s->D, H = s->H, G = s->G, E = s->E, M = s->M, width = (H + 2 * G) * E;
    float *normed = scratch, *heads = normed + B * D, *mixed = heads + B * width, *gate = mixed + B * H * E, *up = gate + B * M;
    float *shares = up + B * M;
    float scale = 1 / sqrtf(E);
    for (int64_t b = 0; b < (even ? 1 : B); b++)
        if (slots[b] < 0 || slots[b] >= L) return 1;
    for (int64_t layer = 0; layer < s->num_layers; layer++, cache += 2 * rows * G * L * E) {
        const Number *const *weights = s->weights + 5 * layer;
        normalize(x, s->norms + 2 * layer * D, s->eps, normed, B, D);
        multiply(weights[0], normed, heads, B, D, width, 0, num_threads);
        for (int64_t b = 0; b < B; b++) {
            int64_t at = even ? 0 : b, slot = slots[at];
            float *row = heads + b * width;
            for (int64_t h = 0; h < H + G; h++) rotate(row + h * E, cosine + at * E, sine + at * E, h < H ? scale : 1, E);
            for (int64_t g = 0; g < G; g++) {
                Number *keys = cache + (b * G + g) * L * E, *values = keys + rows * G * L * E;
                for (int64_t e = 0; e < E; e++) {
                    keys[slot * E + e] = number(row[(H + g) * E + e]);
                    values[slot * E + e] = number(row[(H + G + g) * E + e]);
                }
                for (int64_t h = g * (H / G); h < (g + 1) * (H / G); h++)
                    attend(row + h * E, keys, values, slot + 1, E, shares, mixed + (b * H + h) * E);
            }
        }
        multiply(weights[1], mixed, x, B, H * E, D, 1, num_threads);
        normalize(x, s->norms + (2 * layer + 1) * D, s->eps, normed, B, D);
        multiply(weights[2], normed, gate, B, D, M, 0, num_threads);
        multiply(weights[3], normed, up, B, D, M, 0, num_threads);
#pragma omp simd
        for (int64_t i = 0; i < B * M; i++) gate[i] *= up[i] / (1 + exponential(-gate[i]));
        multiply(weights[4], gate, x, B, M, D, 1, num_threads);
    }
    normalize(x, s->norms + 2 * s->num_layers * D, s->eps, x, B, D);
    return 0;
}
