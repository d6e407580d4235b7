// CUDA kernels on the host: the threads of a block take turns, each running up to the next barrier; those of a warp meet
// at every instruction that they execute together. One warp runs as far as it can before the next one does, and
// asynchronous copies are done when they are waited for, so that a barrier or a wait too few gives other results.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#define __global__
#define __launch_bounds__(...)
#define __shared__ static
#define alignas(bytes) __attribute__((aligned(bytes)))
#define WARP 32

struct Place { int x, y, z; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
struct uint4 { uint32_t x, y, z, w; };
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
using std::max;
using std::min;

static Place blockIdx, threadIdx;

// What a thread waits for before it goes on.
enum Waiting { nothing, warp, block, end };

struct Copy { char* to; const void* from; uint32_t bytes; };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  Waiting waiting = nothing;
  int products = 0;
  std::vector<Copy> started;
  std::deque<std::vector<Copy>> groups;
};
static ucontext_t scheduler;
static std::vector<Fiber> fibers;
static int running;
static void (*body)();
static char dynamic_shared[1 << 18] __attribute__((aligned(64)));
using uint = uint32_t;

static void wait(Waiting waiting) {
  fibers[running].waiting = waiting;
  swapcontext(&fibers[running].context, &scheduler);
}

static void __syncthreads() { wait(block); }

static void enter() {
  body();
  fibers[running].waiting = end;
}

static void begin(Fiber& fiber) {
  fiber.waiting = nothing;
  fiber.started.clear();
  fiber.groups.clear();
  fiber.stack.resize(1 << 16);
  getcontext(&fiber.context);
  fiber.context.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
  fiber.context.uc_link = &scheduler;
  makecontext(&fiber.context, enter, 0);
}

// True where the threads `first .. last` all wait for the same; they go on then, but for those that have ended.
static bool together(int first, int last, Waiting waiting) {
  for (int thread = first; thread < last; ++thread)
    if (fibers[thread].waiting != waiting) return false;
  for (int thread = first; thread < last && waiting != end; ++thread) fibers[thread].waiting = nothing;
  return true;
}

// Runs the threads of a warp until all wait for the block or have ended; false where they part before.
static bool run_warp(int first, int last) {
  do {
    for (running = first; running < last; ++running) {
      threadIdx = {running, 0, 0};
      if (fibers[running].waiting == nothing) swapcontext(&scheduler, &fibers[running].context);
    }
  } while (together(first, last, warp));
  for (int thread = first; thread < last; ++thread)
    if (fibers[thread].waiting == warp) return false;
  return true;
}

// Runs `kernel` for every thread of every block; false where some threads of a block wait for others that do not come.
static bool launch(int blocks, int threads, void (*kernel)()) {
  body = kernel;
  fibers.resize(threads);
  for (int number = 0; number < blocks; ++number) {
    blockIdx = {number, 0, 0};
    std::memset(dynamic_shared, 0xFF, sizeof dynamic_shared);
    for (auto& fiber : fibers) begin(fiber);
    do {
      for (int first = 0; first < threads; first += WARP)
        if (!run_warp(first, std::min(first + WARP, threads))) return false;
    } while (together(0, threads, block));
    if (!together(0, threads, end)) return false;
  }
  return true;
}

// The instructions, as TVM names them.

static uint32_t tvm_builtin_cuda_cvta_generic_to_shared(void* place) { return (char*)place - dynamic_shared; }

static void tvm_builtin_ptx_cp_async_cg_src_size_async_cg_shared_global_16(
    uint32_t to, const void* from, uint32_t bytes) {
  std::memset(dynamic_shared + to, 0xFF, 16);
  fibers[running].started.push_back({dynamic_shared + to, from, bytes});
}

static void tvm_builtin_ptx_cp_async_commit_group_async_commit_group() {
  fibers[running].groups.push_back({});
  fibers[running].groups.back().swap(fibers[running].started);
}

static void wait_group(size_t others) {
  auto& groups = fibers[running].groups;
  for (; groups.size() > others; groups.pop_front())
    for (auto& copy : groups.front()) {
      std::memset(copy.to, 0, 16);
      if (copy.bytes) std::memcpy(copy.to, copy.from, copy.bytes);
    }
}

// What the threads of a warp hold of the two factors; those of one instruction, while some still read the one before.
struct Factors { uint32_t left[WARP][4], right[WARP][2]; };
static Factors factors[WARP][2];

// An element of a register as tensor cores read it: a tf32, without the lower bits of the fraction, or one of two
// bfloat16, the lower half first.
template <int PAIRED>
static float element(uint32_t bits, int number) {
  bits = PAIRED == 1 ? bits & ~0x1FFFu : (number ? bits >> 16 : bits) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static uint32_t nearest_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
}

static void tvm_builtin_ptx_cvt_bf16x2_f32_rn_bf16x2_f32(uint32_t& pair, float upper, float lower) {
  pair = nearest_bf16(upper) << 16 | nearest_bf16(lower);
}

// PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16 with floating point type": registers hold PAIRED
// elements, so that an instruction adds up eight times as many products.
template <int PAIRED>
static void multiply_add(
    float& d0, float& d1, float& d2, float& d3, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
    uint32_t b1, float c0, float c1, float c2, float c3) {
  int thread = running, lane = thread % WARP;
  Factors& own = factors[thread / WARP][fibers[thread].products++ % 2];
  uint32_t left[] = {a0, a1, a2, a3}, right[] = {b0, b1};
  std::copy(left, left + 4, own.left[lane]);
  std::copy(right, right + 2, own.right[lane]);
  wait(warp);
  float sums[] = {c0, c1, c2, c3};
  for (int i = 0; i < 4; ++i) {
    int row = lane / 4, high = i / 2, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 8 * PAIRED; ++k) {
      int holder = k / PAIRED % 4, half = k / PAIRED / 4, number = k % PAIRED;
      sums[i] += element<PAIRED>(own.left[row * 4 + holder][high + half * 2], number) *
                 element<PAIRED>(own.right[column * 4 + holder][half], number);
    }
  }
  d0 = sums[0], d1 = sums[1], d2 = sums[2], d3 = sums[3];
}

#define tvm_builtin_ptx_mma_sync_aligned_m16n8k8_row_col_f32_tf32_tf32_f32 multiply_add<1>
#define tvm_builtin_ptx_mma_sync_aligned_m16n8k16_row_col_f32_bf16_bf16_f32 multiply_add<2>
