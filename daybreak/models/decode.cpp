// One token through a decoder of transformers' Qwen3 class, on the processor.
//
// A product of a matrix and one vector waits for memory, so all that counts is that every weight is read once, in
// order, and that threads hardly wait for each other. Sums are in float32 whatever the weights are kept in. Compiled by
// native.py, which mirrors the two structs below.

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
constexpr int LANES = 16;
constexpr int SPINS = 200;  // about 10 microseconds before a waiting thread lets others run
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t wide __attribute__((vector_size(4 * LANES)));
typedef float quarter __attribute__((vector_size(LANES)));

inline lanes load(const float* from) {
  lanes to;
  std::memcpy(&to, from, sizeof to);
  return to;
}

// How a vector [n] has to lie for dot: beside float32 as it is. 32 bfloat16 are read as 16 words, whose lower halves are
// the even elements and whose upper halves the odd ones; so of every 32 numbers the even ones come first, then the odd.
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
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

inline void split(const bfloat* from, lanes& even, lanes& odd) {
  wide words;
  std::memcpy(&words, from, sizeof words);
  even = (lanes)(words << 16);  // a bfloat16 is the upper half of a float32
  odd = (lanes)(words & 0xFFFF0000u);
}

inline float dot(const float* row, const float* x, int n) {
  lanes a{}, b{}, c{}, d{};
  int i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    a += load(row + i) * load(x + i);
    b += load(row + i + LANES) * load(x + i + LANES);
    c += load(row + i + 2 * LANES) * load(x + i + 2 * LANES);
    d += load(row + i + 3 * LANES) * load(x + i + 3 * LANES);
  }
  for (; i + LANES <= n; i += LANES) a += load(row + i) * load(x + i);
  float sum = total((a + b) + (c + d));
  for (; i < n; ++i) sum += row[i] * x[i];
  return sum;
}

inline float dot(const bfloat* row, const float* x, int n) {
  lanes a{}, b{}, c{}, d{}, even, odd;
  int i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    split(row + i, even, odd);
    a += even * load(x + i);
    b += odd * load(x + i + LANES);
    split(row + i + 2 * LANES, even, odd);
    c += even * load(x + i + 2 * LANES);
    d += odd * load(x + i + 3 * LANES);
  }
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    split(row + i, even, odd);
    a += even * load(x + i);
    b += odd * load(x + i + LANES);
  }
  float sum = total((a + b) + (c + d));
  for (; i < n; ++i) sum += single(row[i]) * x[i];
  return sum;
}

// The sum of n rows, each with its share, lying as dot wants it; N lanes of them, kept in registers.
template <int N>
inline void averaged(float* to, const float* rows, int stride, const float* shares, int n) {
  lanes sums[N]{};
  for (int s = 0; s < n; ++s)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) sums[j] += shares[s] * load(rows + size_t(s) * stride + j * LANES);
  std::memcpy(to, sums, sizeof sums);
}

template <int N>
inline void averaged(float* to, const bfloat* rows, int stride, const float* shares, int n) {
  lanes sums[N]{}, even, odd;
  for (int s = 0; s < n; ++s)
#pragma GCC unroll 4
    for (int j = 0; j < N; j += 2) {
      split(rows + size_t(s) * stride + j * LANES, even, odd);
      sums[j] += shares[s] * even;
      sums[j + 1] += shares[s] * odd;
    }
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
  float* scratch;                // width + mlp_width + (2 heads + 2 key_value_heads) head_dim, and for every thread
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
  for (int s = 0; s < position; ++s) {
    scores[s] = dot(keys + size_t(s) * K, lying, K) * scale;
    most = std::fmax(most, scores[s]);
  }
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
  float *x = m.scratch, *qkv = x + D, *mixed = qkv + Q + 2 * E, *act = mixed + Q, *owns = act + M;
  Barrier barrier(m.threads);

  auto work = [&](int thread) {
    float* h = owns + size_t(thread) * (D + m.context + 3 * K);
    float* own = h + D;
    // Equal shares of n things, in order.
    auto from = [&](int n) { return int(int64_t(n) * thread / m.threads); };
    auto to = [&](int n) { return int(int64_t(n) * (thread + 1) / m.threads); };

    for (int i = from(D); i < to(D); ++i) x[i] = single(((const W*)m.table)[size_t(token) * D + i]);
    barrier.wait();
    for (int l = 0; l < m.layers; ++l) {
      const Layer& layer = m.layer[l];
      normed<W>(h, x, layer.attention_gain, D, m.epsilon);  // by every thread for itself: cheaper than to wait for one
      for (int r = from(Q + 2 * E); r < to(Q + 2 * E); ++r) {
        const W* row = r < Q       ? (const W*)layer.q + size_t(r) * D
                       : r < Q + E ? (const W*)layer.k + size_t(r - Q) * D
                                   : (const W*)layer.v + size_t(r - Q - E) * D;
        qkv[r] = dot(row, h, D);
      }
      barrier.wait();
      for (int head = from(m.heads); head < to(m.heads); ++head)
        attend<W>(m, layer, head, position, qkv, mixed, own);
      barrier.wait();
      for (int r = from(D); r < to(D); ++r) x[r] += dot((const W*)layer.o + size_t(r) * Q, mixed, Q);
      barrier.wait();
      normed<W>(h, x, layer.mlp_gain, D, m.epsilon);
      for (int r = from(M); r < to(M); ++r) {
        float gate = dot((const W*)layer.gate + size_t(r) * D, h, D);
        float up = dot((const W*)layer.up + size_t(r) * D, h, D);
        act[place<W>(r, M)] = gate / (1.0f + std::exp(-gate)) * up;
      }
      barrier.wait();
      for (int r = from(D); r < to(D); ++r) x[r] += dot((const W*)layer.down + size_t(r) * M, act, M);
      barrier.wait();
    }
    normed<W>(h, x, m.gain, D, m.epsilon);
    for (int r = from(m.vocabulary); r < to(m.vocabulary); ++r)
      logits[r] = dot((const W*)m.head + size_t(r) * D, h, D);
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
