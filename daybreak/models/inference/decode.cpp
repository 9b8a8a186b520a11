// One token through a decoder of transformers' Qwen3 class, on the processor.
//
// A product of a matrix and one vector waits for memory, so all that counts is that every weight is read once, from
// several places at a time (a processor fetches ahead in each of them: measured, 8 gave 20 GB/s where 1 gave 13), and
// that threads hardly wait for each other. Sums are in float32 whatever the weights are kept in. Compiled by decode_step.py,
// which mirrors the two structs below.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <sched.h>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using bfloat = uint16_t;
#ifdef __AVX512F__
constexpr int LANES = 16, STREAMS = 8;
#else
constexpr int LANES = 8, STREAMS = 4;
#endif
constexpr int SPINS = 200;  // about 10 microseconds before a waiting thread lets others run
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t wide __attribute__((vector_size(4 * LANES)));
typedef float quarter __attribute__((vector_size(LANES)));

inline lanes load(const float* from) {
  lanes to;
  std::memcpy(&to, from, sizeof to);
  return to;
}

// How a vector [n] has to lie for dot: beside float32 as it is. Pairs of bfloat16 are read as words, whose lower halves
// are the even elements and whose upper halves the odd ones; so of every 2 LANES the even ones come first, then the odd.
template <typename W>
constexpr int PAIRED = 0;
template <>
constexpr int PAIRED<bfloat> = 2 * LANES;

template <typename W>
inline int place(int i, int n) {
  constexpr int P = PAIRED<W>;
  if (P == 0 || i >= n / (P ? P : 1) * P) return i;
  return (i & ~(P - 1)) + (i & 1) * LANES + (i & (P - 1)) / 2;
}

inline float single(float from) { return from; }

inline float single(bfloat from) {
  uint32_t bits = uint32_t(from) << 16;
  float to;
  std::memcpy(&to, &bits, sizeof to);
  return to;
}

inline void store(float* to, float from) { *to = from; }

inline void store(bfloat* to, float from) {
  uint32_t bits;
  std::memcpy(&bits, &from, sizeof bits);
  *to = bfloat((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);  // to the nearest, ties to even
}

inline float total(lanes of) {
  quarter parts[4];
  std::memcpy(parts, &of, sizeof parts);
  quarter sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
  float whole = 0.0f;
  for (int i = 0; i < LANES / 4; ++i) whole += sum[i];
  return whole;
}

inline void split(const bfloat* from, lanes& even, lanes& odd) {
  wide words;
  std::memcpy(&words, from, sizeof words);
  even = (lanes)(words << 16);  // a bfloat16 is the upper half of a float32
  odd = (lanes)(words & 0xFFFF0000u);
}

// The products [N] of N rows with x.
template <int N>
inline void dots(const float* const* rows, const float* x, int n, float* to) {
  lanes sums[N]{};
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    const lanes here = load(x + i);
#pragma GCC unroll 8
    for (int r = 0; r < N; ++r) sums[r] += load(rows[r] + i) * here;
  }
  for (int r = 0; r < N; ++r) {
    to[r] = total(sums[r]);
    for (int j = i; j < n; ++j) to[r] += rows[r][j] * x[j];
  }
}

template <int N>
inline void dots(const bfloat* const* rows, const float* x, int n, float* to) {
  lanes evens[N]{}, odds[N]{}, even, odd;
  int i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    const lanes here = load(x + i), there = load(x + i + LANES);
#pragma GCC unroll 8
    for (int r = 0; r < N; ++r) {
      split(rows[r] + i, even, odd);
      evens[r] += even * here;
      odds[r] += odd * there;
    }
  }
  for (int r = 0; r < N; ++r) {
    to[r] = total(evens[r] + odds[r]);
    for (int j = i; j < n; ++j) to[r] += single(rows[r][j]) * x[j];
  }
}

template <typename W>
inline float dot(const W* row, const float* x, int n) {
  float to;
  dots<1>(&row, x, n, &to);
  return to;
}

// put(r, row(r) times x) for the rows from begin to end, STREAMS at a time, far from each other.
template <typename W, typename Row, typename Put>
inline void product(int begin, int end, const float* x, int n, Row row, Put put) {
  const int count = (end - begin) / STREAMS;
  for (int i = begin; i < begin + count; ++i) {
    const W* rows[STREAMS];
    float sums[STREAMS];
    for (int s = 0; s < STREAMS; ++s) rows[s] = row(i + s * count);
    dots<STREAMS>(rows, x, n, sums);
    for (int s = 0; s < STREAMS; ++s) put(i + s * count, sums[s]);
  }
  for (int r = begin + STREAMS * count; r < end; ++r) put(r, dot(row(r), x, n));
}

// sums += share * row, for N lanes of a row, lying as dot wants them.
template <int N>
inline void add(lanes* sums, const float* row, float share) {
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) sums[j] += share * load(row + j * LANES);
}

template <int N>
inline void add(lanes* sums, const bfloat* row, float share) {
  lanes even, odd;
#pragma GCC unroll 4
  for (int j = 0; j < N; j += 2) {
    split(row + j * LANES, even, odd);
    sums[j] += share * even;
    sums[j + 1] += share * odd;
  }
}

// The sum of n rows, each with its share.
template <int N, typename W>
inline void averaged(float* to, const W* rows, int stride, const float* shares, int n) {
  lanes sums[N]{};
  const int count = n / 4;
  for (int s = 0; s < count; ++s)
    for (int place = s; place < 4 * count; place += count)
      add<N>(sums, rows + size_t(place) * stride, shares[place]);
  for (int s = 4 * count; s < n; ++s) add<N>(sums, rows + size_t(s) * stride, shares[s]);
  std::memcpy(to, sums, sizeof sums);
}

template <typename W>
void normed(float* to, const float* x, const float* gain, int n, float epsilon) {
  const float scale = 1.0f / std::sqrt(dot(x, x, n) / float(n) + epsilon);
  for (int i = 0; i < n; ++i) to[place<W>(i, n)] = gain[i] * (x[i] * scale);
}

// The first half of a head is paired with the second.
void rotate(float* x, const float* cosines, const float* sines, int half) {
  for (int i = 0; i < half; ++i) {
    float first = x[i], second = x[i + half];
    x[i] = first * cosines[i] - second * sines[i];
    x[i + half] = second * cosines[i] + first * sines[i];
  }
}

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait() {
    if (members_ == 1) return;
    int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins > SPINS) sched_yield();
#if defined(__x86_64__)
      else __builtin_ia32_pause();
#endif
    }
  }

 private:
  const int members_;
  std::atomic<int> arrived_{0}, turn_{0};
};

struct Layer {
  const void *q, *k, *v, *o, *gate, *up, *down;
  const float *attention_gain, *q_gain, *k_gain, *mlp_gain;
  void *k_cache, *v_cache;  // [key_value_heads, context, head_dim]
};

struct Model {
  int32_t layers, width, heads, key_value_heads, head_dim, mlp_width, vocabulary, context, threads;
  float epsilon;
  const Layer* layer;
  const void *table, *head;
  const float* gain;
  const float *cosines, *sines;  // [context, head_dim / 2]
  float* scratch;                // width + 2 mlp_width + (2 heads + 2 key_value_heads) head_dim, and for every thread
                                 // width + 3 head_dim + context
};

// A head's part of what one thread does between two barriers: its share of `mixed` from the rows of q, k and v.
template <typename W>
void attend(const Model& m, const Layer& layer, int head, int position, const float* qkv, float* mixed, float* own) {
  const int K = m.head_dim, group = head / (m.heads / m.key_value_heads);
  const bool first = head % (m.heads / m.key_value_heads) == 0;  // of its group: it keeps the new key and value
  const float *cosines = m.cosines + size_t(position) * (K / 2), *sines = m.sines + size_t(position) * (K / 2);
  const size_t begin = size_t(group) * m.context * K;
  W *keys = (W*)layer.k_cache + begin, *values = (W*)layer.v_cache + begin;
  float *q = own, *k = own + K, *lying = own + 2 * K, *scores = own + 3 * K;
  const float* v = qkv + size_t(m.heads + m.key_value_heads + group) * K;

  normed<float>(q, qkv + size_t(head) * K, layer.q_gain, K, m.epsilon);
  normed<float>(k, qkv + size_t(m.heads + group) * K, layer.k_gain, K, m.epsilon);
  rotate(q, cosines, sines, K / 2);
  rotate(k, cosines, sines, K / 2);
  for (int i = 0; i < K; ++i) lying[place<W>(i, K)] = q[i];
  if (first)
    for (int i = 0; i < K; ++i) {
      store(keys + size_t(position) * K + i, k[i]);
      store(values + size_t(position) * K + i, v[i]);
    }

  const float scale = 1.0f / std::sqrt(float(K));
  float most = scores[position] = dot(k, q, K) * scale, sum = 0.0f;
  product<W>(0, position, lying, K, [&](int s) { return keys + size_t(s) * K; }, [&](int s, float score) {
    scores[s] = score * scale;
    most = std::fmax(most, scores[s]);
  });
  for (int s = 0; s <= position; ++s) sum += scores[s] = std::exp(scores[s] - most);
  for (int s = 0; s <= position; ++s) scores[s] /= sum;
  float* out = q;
  int i = 0;
  for (; i + 4 * LANES <= K; i += 4 * LANES) averaged<4>(out + i, values + i, K, scores, position);
  for (; i + 2 * LANES <= K; i += 2 * LANES) averaged<2>(out + i, values + i, K, scores, position);
  for (; i < K; ++i) {
    out[i] = 0.0f;
    for (int s = 0; s < position; ++s) out[i] += scores[s] * single(values[size_t(s) * K + i]);
  }
  for (i = 0; i < K; ++i)
    mixed[place<W>(head * K + i, m.heads * K)] = out[place<W>(i, K)] + scores[position] * v[i];
}

template <typename W>
void step(const Model& m, int64_t token, int position, float* logits) {
  const int D = m.width, K = m.head_dim, M = m.mlp_width, Q = m.heads * K, E = m.key_value_heads * K;
  float *x = m.scratch, *qkv = x + D, *mixed = qkv + Q + 2 * E, *gates = mixed + Q, *act = gates + M, *owns = act + M;
  Barrier barrier(m.threads);

  auto work = [&](int thread) {
    float* h = owns + size_t(thread) * (D + m.context + 3 * K);
    float* own = h + D;
    auto rows = [](const void* matrix, int n) { return [=](int r) { return (const W*)matrix + size_t(r) * n; }; };
    // Equal shares of n things, in order.
    auto from = [&](int n) { return int(int64_t(n) * thread / m.threads); };
    auto to = [&](int n) { return int(int64_t(n) * (thread + 1) / m.threads); };

    for (int i = from(D); i < to(D); ++i) x[i] = single(((const W*)m.table)[size_t(token) * D + i]);
    barrier.wait();
    for (int l = 0; l < m.layers; ++l) {
      const Layer& layer = m.layer[l];
      normed<W>(h, x, layer.attention_gain, D, m.epsilon);  // by every thread for itself: cheaper than to wait for one
      auto row_of = [&](int r) {
        return r < Q       ? (const W*)layer.q + size_t(r) * D
               : r < Q + E ? (const W*)layer.k + size_t(r - Q) * D
                           : (const W*)layer.v + size_t(r - Q - E) * D;
      };
      product<W>(from(Q + 2 * E), to(Q + 2 * E), h, D, row_of, [&](int r, float sum) { qkv[r] = sum; });
      barrier.wait();
      for (int head = from(m.heads); head < to(m.heads); ++head)
        attend<W>(m, layer, head, position, qkv, mixed, own);
      barrier.wait();
      product<W>(from(D), to(D), mixed, Q, rows(layer.o, Q), [&](int r, float sum) { x[r] += sum; });
      barrier.wait();
      normed<W>(h, x, layer.mlp_gain, D, m.epsilon);
      product<W>(from(M), to(M), h, D, rows(layer.gate, D), [&](int r, float sum) { gates[r] = sum; });
      product<W>(from(M), to(M), h, D, rows(layer.up, D), [&](int r, float sum) {
        act[place<W>(r, M)] = gates[r] / (1.0f + std::exp(-gates[r])) * sum;
      });
      barrier.wait();
      product<W>(from(D), to(D), act, M, rows(layer.down, M), [&](int r, float sum) { x[r] += sum; });
      barrier.wait();
    }
    normed<W>(h, x, m.gain, D, m.epsilon);
    const int V = m.vocabulary;
    product<W>(from(V), to(V), h, D, rows(m.head, D), [&](int r, float sum) { logits[r] = sum; });
  };

#ifdef _OPENMP
  if (m.threads > 1) {
    std::atomic<bool> whole{true};
#pragma omp parallel num_threads(m.threads)
    {
      // A smaller team would wait for ever at the first barrier.
      if (omp_get_num_threads() == m.threads) work(omp_get_thread_num());
      else whole = false;
    }
    if (whole) return;
  }
#endif
  Model alone = m;
  alone.threads = 1;
  if (m.threads > 1) step<W>(alone, token, position, logits);
  else work(0);
}

}  // namespace

extern "C" {
void step_float32(const Model* model, int64_t token, int32_t position, float* logits) {
  step<float>(*model, token, position, logits);
}
void step_bfloat16(const Model* model, int64_t token, int32_t position, float* logits) {
  step<bfloat>(*model, token, position, logits);
}
int32_t model_bytes() { return int32_t(sizeof(Model)); }
}
