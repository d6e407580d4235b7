// CUDA kernels on the host: the threads of a block take turns, each running up to the next barrier.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define __global__
#define __launch_bounds__(...)
#define __shared__ static
#define alignas(bytes) __attribute__((aligned(bytes)))

struct Place { int x, y, z; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
using std::max;
using std::min;

static Place blockIdx, threadIdx;

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  bool ended = false;
};
static ucontext_t scheduler;
static std::vector<Fiber> fibers;
static int running;
static void (*body)();

static void __syncthreads() { swapcontext(&fibers[running].context, &scheduler); }

static void enter() {
  body();
  fibers[running].ended = true;
}

// Runs `kernel` for every thread of every block; false where some threads of a block wait for others that have ended.
static bool launch(int blocks, int threads, void (*kernel)()) {
  body = kernel;
  for (int block = 0; block < blocks; ++block) {
    blockIdx = {block, 0, 0};
    fibers.resize(threads);
    for (auto& fiber : fibers) {
      fiber.ended = false;
      fiber.stack.resize(1 << 16);
      getcontext(&fiber.context);
      fiber.context.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
      fiber.context.uc_link = &scheduler;
      makecontext(&fiber.context, enter, 0);
    }
    for (int ended = 0; ended < threads;) {
      ended = 0;
      for (running = 0; running < threads; ++running) {
        threadIdx = {running, 0, 0};
        if (fibers[running].ended) return false;
        swapcontext(&scheduler, &fibers[running].context);
        ended += fibers[running].ended;
      }
      if (ended != 0 && ended != threads) return false;
    }
  }
  return true;
}
