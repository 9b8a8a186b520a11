/* Kernels: what stands between the matrix products of a training step on a CPU, each in one pass over memory.

   Values are stored as bfloat16 (-DBFLOAT16) or float and computed in float. Rows are shared out evenly among the
   threads and sums over rows are added up in the order of the threads, so that a result depends on their number alone.
   Axes: N rows (batch times positions), D width, B batch, T positions, H heads of the queries in G groups that share
   keys and values, K head size, M MLP width, V vocabulary. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num(void) { return 0; }
#endif

#ifdef BFLOAT16
typedef uint16_t stored;
static inline float widened(stored x) {
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, 4);
    return wide;
}
static inline stored narrowed(float x) { /* to the nearest, halves to even */
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t unordered = (bits & 0x7fffffff) > 0x7f800000; /* not a number stays that */
    return (stored)(unordered ? 0x7fc0 : rounded);
}
#else
typedef float stored;
static inline float widened(stored x) { return x; }
static inline stored narrowed(float x) { return x; }
#endif

/* e^x to two units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes' coefficients). Adding
   1.5 * 2^23 leaves the nearest whole number n in the low bits. n is bounded, not x: a bounded x would have the compiler
   work out what follows for the bounds, too, where quotients are subnormal and take a hundred times as long. */
static inline float exponential(float x) {
    float shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t whole;
    memcpy(&whole, &shifted, 4);
    whole -= 0x4b400000;
    whole = whole < -125 ? -125 : whole;
    whole = whole > 127 ? 127 : whole;
    uint32_t bits = (uint32_t)(whole + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

/* Root-mean-square norm: y [N, D] = gain [D] * x * scale, scale [N] = 1 / sqrt(mean(x^2) + epsilon). */
void rms_forward(const stored *x, const float *gain, stored *y, float *scale, long N, long D, float epsilon,
                 int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < N; n++) {
        const stored *xn = x + n * D;
        stored *yn = y + n * D;
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (long d = 0; d < D; d++) squares += widened(xn[d]) * widened(xn[d]);
        float s = scale[n] = 1.0f / sqrtf(squares / (float)D + epsilon);
#pragma omp simd
        for (long d = 0; d < D; d++) yn[d] = narrowed(gain[d] * (widened(xn[d]) * s));
    }
}

/* Gradients of rms_forward: dx [N, D] with the gradient past the norm added, and dgain [threads, D] in parts. */
void rms_backward(const stored *dy, const stored *x, const float *gain, const float *scale, const stored *past,
                  stored *dx, float *dgain, long N, long D, int threads) {
#pragma omp parallel num_threads(threads)
    {
        float *part = dgain + omp_get_thread_num() * D;
        memset(part, 0, (size_t)D * sizeof(float));
#pragma omp for schedule(static)
        for (long n = 0; n < N; n++) {
            const stored *xn = x + n * D, *dyn = dy + n * D, *pastn = past + n * D;
            stored *dxn = dx + n * D;
            float s = scale[n], along = 0;
#pragma omp simd reduction(+ : along)
            for (long d = 0; d < D; d++) {
                float product = widened(dyn[d]) * widened(xn[d]);
                part[d] += product * s;
                along += product * gain[d];
            }
            float back = along * s * s * s / (float)D;
#pragma omp simd
            for (long d = 0; d < D; d++)
                dxn[d] = narrowed(widened(pastn[d]) + s * gain[d] * widened(dyn[d]) - back * widened(xn[d]));
        }
    }
}

/* One head of K: normed, rotated by its position's cosines and sines [K / 2], times `factor`. */
static inline float head_forward(const stored *x, const float *gain, const float *cosine, const float *sine, stored *y,
                                 long K, float epsilon, float factor) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (long i = 0; i < K; i++) squares += widened(x[i]) * widened(x[i]);
    float s = 1.0f / sqrtf(squares / (float)K + epsilon), f = s * factor;
    long half = K / 2;
#pragma omp simd
    for (long i = 0; i < half; i++) {
        float first = gain[i] * widened(x[i]) * f, second = gain[half + i] * widened(x[half + i]) * f;
        y[i] = narrowed(first * cosine[i] - second * sine[i]);
        y[half + i] = narrowed(second * cosine[i] + first * sine[i]);
    }
    return s;
}

static inline void head_backward(const stored *dy, const stored *x, const float *gain, const float *cosine,
                                 const float *sine, stored *dx, float *dgain, float s, long K, float factor) {
    long half = K / 2;
    float along = 0, turned[512];
#pragma omp simd reduction(+ : along)
    for (long i = 0; i < half; i++) {
        float first = widened(dy[i]) * factor, second = widened(dy[half + i]) * factor;
        float one = first * cosine[i] + second * sine[i], two = second * cosine[i] - first * sine[i];
        turned[i] = one;
        turned[half + i] = two;
        along += gain[i] * one * widened(x[i]) + gain[half + i] * two * widened(x[half + i]);
    }
    float back = along * s * s * s / (float)K;
#pragma omp simd
    for (long i = 0; i < K; i++) {
        dgain[i] += turned[i] * widened(x[i]) * s;
        dx[i] = narrowed(s * gain[i] * turned[i] - back * widened(x[i]));
    }
}

/* Joint projections [N, (H + 2 G) K] to queries [B, H, T, K] (times `factor`), keys and values [B, G, T, K]; scales
   [N, H + G] of the norms of queries and keys. cosine, sine: [T, K / 2]. */
void heads_forward(const stored *joint, const float *q_gain, const float *k_gain, const float *cosine,
                   const float *sine, stored *q, stored *k, stored *v, float *scale, long B, long T, long H, long G,
                   long K, float epsilon, float factor, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < B * T; n++) {
        long b = n / T, t = n % T, half = K / 2;
        const stored *from = joint + n * (H + 2 * G) * K;
        const float *c = cosine + t * half, *s = sine + t * half;
        for (long h = 0; h < H; h++)
            scale[n * (H + G) + h] =
                head_forward(from + h * K, q_gain, c, s, q + ((b * H + h) * T + t) * K, K, epsilon, factor);
        for (long g = 0; g < G; g++) {
            long to = ((b * G + g) * T + t) * K;
            scale[n * (H + G) + H + g] =
                head_forward(from + (H + g) * K, k_gain, c, s, k + to, K, epsilon, 1.0f);
            memcpy(v + to, from + (H + G + g) * K, (size_t)K * sizeof(stored));
        }
    }
}

/* Gradients of heads_forward; dgain [threads, 2, K] in parts, of queries and of keys. K is at most 512. */
void heads_backward(const stored *dq, const stored *dk, const stored *dv, const stored *joint, const float *q_gain,
                    const float *k_gain, const float *cosine, const float *sine, const float *scale, stored *djoint,
                    float *dgain, long B, long T, long H, long G, long K, float factor, int threads) {
#pragma omp parallel num_threads(threads)
    {
        float *part = dgain + omp_get_thread_num() * 2 * K;
        memset(part, 0, (size_t)(2 * K) * sizeof(float));
#pragma omp for schedule(static)
        for (long n = 0; n < B * T; n++) {
            long b = n / T, t = n % T, half = K / 2, row = n * (H + 2 * G) * K;
            const stored *from = joint + row;
            stored *to = djoint + row;
            const float *c = cosine + t * half, *s = sine + t * half, *known = scale + n * (H + G);
            for (long h = 0; h < H; h++)
                head_backward(dq + ((b * H + h) * T + t) * K, from + h * K, q_gain, c, s, to + h * K, part, known[h], K,
                              factor);
            for (long g = 0; g < G; g++) {
                long at = ((b * G + g) * T + t) * K, of = (H + g) * K;
                head_backward(dk + at, from + of, k_gain, c, s, to + of, part + K, known[H + g], K, 1.0f);
                memcpy(to + (H + G + g) * K, dv + at, (size_t)K * sizeof(stored));
            }
        }
    }
}

/* [B, H, T, K] to [B, T, H, K] and, with H and T exchanged, back. */
void exchanged(const stored *x, stored *y, long B, long H, long T, long K, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long row = 0; row < B * T; row++) {
        long b = row / T, t = row % T;
        for (long h = 0; h < H; h++)
            memcpy(y + (row * H + h) * K, x + ((b * H + h) * T + t) * K, (size_t)K * sizeof(stored));
    }
}

/* y [D, N], the transpose of x [N, D], in blocks that fit the first cache. */
#if defined(BFLOAT16) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif
#ifdef SHUFFLES
/* 16 rows of 16: in four stages, the halves, quarters ... off the diagonal change places (Eklundh 1972). */
typedef stored row16 __attribute__((vector_size(32)));
static inline void turned16(const stored *x, long x_stride, stored *y, long y_stride) {
    row16 r[16];
    for (int i = 0; i < 16; i++) memcpy(&r[i], x + i * x_stride, sizeof(row16));
#define LIST(...) __VA_ARGS__
#define TURN(S, UPPER, LOWER)                                     \
    for (int i = 0; i < 16; i++)                                  \
        if (!(i & S)) {                                           \
            row16 a = r[i], b = r[i + S];                         \
            r[i] = __builtin_shufflevector(a, b, UPPER);          \
            r[i + S] = __builtin_shufflevector(a, b, LOWER);      \
        }
    TURN(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    TURN(4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27), LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    TURN(2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29), LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    TURN(1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30), LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef TURN
#undef LIST
    for (int i = 0; i < 16; i++) memcpy(y + i * y_stride, &r[i], sizeof(row16));
}
#endif
void transposed(const stored *x, stored *y, long N, long D, int threads) {
    enum { BLOCK = 32 };
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long d0 = 0; d0 < D; d0 += BLOCK) {
        long d1 = d0 + BLOCK < D ? d0 + BLOCK : D;
        for (long n0 = 0; n0 < N; n0 += BLOCK) {
            long n1 = n0 + BLOCK < N ? n0 + BLOCK : N;
#ifdef SHUFFLES
            if (d1 - d0 == BLOCK && n1 - n0 == BLOCK) {
                for (int quarter = 0; quarter < 4; quarter++) {
                    long d = d0 + quarter / 2 * 16, n = n0 + quarter % 2 * 16;
                    turned16(x + n * D + d, D, y + d * N + n, N);
                }
                continue;
            }
#endif
            for (long d = d0; d < d1; d++)
                for (long n = n0; n < n1; n++) y[d * N + n] = x[n * D + d];
        }
    }
}

/* Causal softmax in place of scores [rows, T], whose row r is of position r % T. */
void softmax_forward(stored *scores, long rows, long T, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long r = 0; r < rows; r++) {
        stored *row = scores + r * T;
        long seen = r % T + 1;
        float most = -INFINITY, total = 0, wide[4096];
#pragma omp simd reduction(max : most)
        for (long i = 0; i < seen; i++) {
            wide[i] = widened(row[i]);
            most = wide[i] > most ? wide[i] : most;
        }
#pragma omp simd reduction(+ : total)
        for (long i = 0; i < seen; i++) total += wide[i] = exponential(wide[i] - most);
        float share = 1.0f / total;
#pragma omp simd
        for (long i = 0; i < seen; i++) row[i] = narrowed(wide[i] * share);
        memset(row + seen, 0, (size_t)(T - seen) * sizeof(stored));
    }
}

/* Gradient of softmax_forward from its result, in place of dweights [rows, T]. */
void softmax_backward(const stored *weights, stored *dweights, long rows, long T, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long r = 0; r < rows; r++) {
        const stored *w = weights + r * T;
        stored *dw = dweights + r * T;
        long seen = r % T + 1;
        float along = 0;
#pragma omp simd reduction(+ : along)
        for (long i = 0; i < seen; i++) along += widened(w[i]) * widened(dw[i]);
#pragma omp simd
        for (long i = 0; i < seen; i++) dw[i] = narrowed(widened(w[i]) * (widened(dw[i]) - along));
        memset(dw + seen, 0, (size_t)(T - seen) * sizeof(stored));
    }
}

/* SwiGLU: y [N, M] = silu(x[:, :M]) * x[:, M:]. */
void swiglu_forward(const stored *x, stored *y, long N, long M, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < N; n++) {
        const stored *gate = x + n * 2 * M, *up = gate + M;
        stored *yn = y + n * M;
#pragma omp simd
        for (long m = 0; m < M; m++) {
            float g = widened(gate[m]);
            yn[m] = narrowed(g / (1.0f + exponential(-g)) * widened(up[m]));
        }
    }
}

void swiglu_backward(const stored *dy, const stored *x, stored *dx, long N, long M, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < N; n++) {
        const stored *gate = x + n * 2 * M, *up = gate + M, *dyn = dy + n * M;
        stored *dgate = dx + n * 2 * M, *dup = dgate + M;
#pragma omp simd
        for (long m = 0; m < M; m++) {
            float g = widened(gate[m]), d = widened(dyn[m]), s = 1.0f / (1.0f + exponential(-g));
            dup[m] = narrowed(d * g * s);
            dgate[m] = narrowed(d * widened(up[m]) * s * (1.0f + g * (1.0f - s)));
        }
    }
}

/* First half of a step of Muon for one matrix: velocity [M, N] towards the gradient, and `ahead` of it by the momentum
   once more (Nesterov), narrowed and, where `turned`, transposed to [N, M]; squares [threads] of it in parts. */
void muon_momentum(const float *gradient, float *velocity, stored *ahead, float *squares, long M, long N,
                   float momentum, int turned, int threads) {
    enum { BLOCK = 16 };
#pragma omp parallel num_threads(threads)
    {
        float sum = 0, block[BLOCK][BLOCK];
#pragma omp for schedule(static)
        for (long m0 = 0; m0 < M; m0 += BLOCK) {
            long rows = M - m0 < BLOCK ? M - m0 : BLOCK;
            for (long n0 = 0; n0 < N; n0 += BLOCK) {
                long columns = N - n0 < BLOCK ? N - n0 : BLOCK;
                for (long m = 0; m < rows; m++) {
                    const float *g = gradient + (m0 + m) * N + n0;
                    float *v = velocity + (m0 + m) * N + n0;
#pragma omp simd reduction(+ : sum)
                    for (long n = 0; n < columns; n++) {
                        v[n] += (g[n] - v[n]) * (1.0f - momentum);
                        float u = block[m][n] = g[n] + (v[n] - g[n]) * momentum;
                        sum += u * u;
                    }
                }
                if (turned)
                    for (long n = 0; n < columns; n++)
                        for (long m = 0; m < rows; m++) ahead[(n0 + n) * M + m0 + m] = narrowed(block[m][n]);
                else
                    for (long m = 0; m < rows; m++)
                        for (long n = 0; n < columns; n++) ahead[(m0 + m) * N + n0 + n] = narrowed(block[m][n]);
            }
        }
        squares[omp_get_thread_num()] = sum;
    }
}

/* Second half: weight [M, N] = keep * weight - rate * direction, which is [N, M] where `turned`. */
void muon_apply(float *weight, const stored *direction, long M, long N, float keep, float rate, int turned,
                int threads) {
    enum { BLOCK = 16 };
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long m0 = 0; m0 < M; m0 += BLOCK) {
        long m1 = m0 + BLOCK < M ? m0 + BLOCK : M;
        for (long n0 = 0; n0 < N; n0 += BLOCK) {
            long n1 = n0 + BLOCK < N ? n0 + BLOCK : N;
            for (long m = m0; m < m1; m++)
#pragma omp simd
                for (long n = n0; n < n1; n++)
                    weight[m * N + n] = keep * weight[m * N + n] -
                                        rate * widened(direction[turned ? n * M + m : m * N + n]);
        }
    }
}

/* Cross-entropy of logits [N, V]: nats [N], and in place of the logits their gradient. */
void cross_entropy(stored *logits, const int64_t *targets, float *nats, long N, long V, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < N; n++) {
        stored *row = logits + n * V;
        float most = -INFINITY, total = 0, target = widened(row[targets[n]]);
#pragma omp simd reduction(max : most)
        for (long v = 0; v < V; v++) most = widened(row[v]) > most ? widened(row[v]) : most;
#pragma omp simd reduction(+ : total)
        for (long v = 0; v < V; v++) total += exponential(widened(row[v]) - most);
        nats[n] = logf(total) + most - target;
        float share = 1.0f / total;
#pragma omp simd
        for (long v = 0; v < V; v++) row[v] = narrowed(exponential(widened(row[v]) - most) * share);
        row[targets[n]] = narrowed(exponential(target - most) * share - 1.0f);
    }
}
