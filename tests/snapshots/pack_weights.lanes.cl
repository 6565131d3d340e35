// pack_weights
#define BLOCK_IN 4
#define WIDE 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pack_weights pack_weights_be7429aaf40c

__kernel WORK_GROUP
void pack_weights(
    __global const real *restrict x,     // groups, then outputs and inputs in either order, taps
    __global real *restrict y,           // groups, channel tiles, input blocks, taps, BLOCK_IN, WIDE
    const int outputs, const int inputs, // of one group
    const int taps,
    const int output_step, const int input_step,
    const int groups, const int input_blocks,
    const int tap0, const int tap_step)  // where tap 0 lies, and how far it is to the next
{
    const int block = get_global_id(0);
    if (block >= input_blocks) return;
    const int first = (int)get_global_id(1) * WIDE;
    __global real *cell = y + (get_global_id(1) * input_blocks + block) * taps * (size_t)(BLOCK_IN * WIDE);
    for (int o = 0; o < WIDE; ++o) {
        const int group = (first + o) / outputs;
        const int input0 = block * BLOCK_IN;
        __global const real *from = x + (size_t)group * outputs * inputs * taps + (first + o - group * outputs) * output_step + tap0;
        for (int i = 0; i < BLOCK_IN; ++i) {
            const int input = input0 + i;
            const int live = group < groups && input >= 0 && input < inputs;
            for (int t = 0; t < taps; ++t)
                STORE(cell, (t * BLOCK_IN + i) * WIDE + o, live ? LOAD(from, input * input_step + t * tap_step) : 0.0f);
        }
    }
}

#undef BLOCK_IN
#undef WIDE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pack_weights
